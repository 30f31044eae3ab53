// Makes oclif.manifest.json, the README's reference and schemas/ again, beside those of the repository, and fails when they differ.
import {spawnSync} from 'node:child_process'
import {cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {makeManifest} from './manifest.mjs'
import {makeSchemas} from './schemas.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const copy = mkdtempSync(join(tmpdir(), 'table-migrator-generated-'))

function oclif(...args) {
  const result = spawnSync(join(root, 'node_modules', '.bin', 'oclif'), args, {
    cwd: copy,
    // A fixed environment: oclif takes defaults of flags from it, and prints them.
    env: {HOME: copy, PATH: process.env.PATH},
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (result.status !== 0) throw new Error(`oclif ${args.join(' ')} failed`)
}

try {
  for (const entry of ['README.md', 'bin', 'dist', 'oclif.manifest.json', 'package.json'])
    cpSync(join(root, entry), join(copy, entry), {recursive: true})
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction')
  makeManifest(copy)
  oclif('readme')
  const stale = ['oclif.manifest.json', 'README.md'].filter(
    (file) => readFileSync(join(copy, file), 'utf8') !== readFileSync(join(root, file), 'utf8'),
  )
  if (stale.length > 0) {
    console.error(`${stale.join(' and ')} would change: run npm run manifest, and commit it`)
    process.exitCode = 1
  }

  const stand = (name) => join(root, 'schemas', name)
  const wrong = [...makeSchemas()]
    .filter(([name, text]) => !existsSync(stand(name)) || readFileSync(stand(name), 'utf8') !== text)
    .map(([name]) => `schemas/${name}`)
  if (wrong.length > 0) {
    console.error(`${wrong.join(' and ')} would change: run npm run schemas, and commit it`)
    process.exitCode = 1
  }
} finally {
  rmSync(copy, {force: true, recursive: true})
}
