// Makes oclif.manifest.json and the README's reference again, in a copy, and fails when the ones in the repository differ.
import {spawnSync} from 'node:child_process'
import {cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {makeManifest} from './manifest.mjs'

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
} finally {
  rmSync(copy, {force: true, recursive: true})
}
