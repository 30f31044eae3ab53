// Is what would be published fit to be? Packs it as it lies in dist/, and lets publint and attw look at the tarball; knip
// looks for files, exports and dependencies that nothing uses. Says nothing but what is wrong.
import {spawnSync} from 'node:child_process'
import {mkdtempSync, readdirSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import process from 'node:process'
import {fileURLToPath} from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'table-migrator-package-'))

function check(name, command, ...args) {
  const {error, status, stderr, stdout} = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    env: {...process.env, NO_COLOR: '1'},
    shell: process.platform === 'win32',
  })
  if (status === 0) return true
  console.error(`${name} found something:\n${stdout}${stderr}${error?.message ?? ''}`)
  process.exitCode = 1
  return false
}

const bin = (name) => join(root, 'node_modules', '.bin', name)

try {
  if (check('npm pack', 'npm', 'pack', '--ignore-scripts', '--pack-destination', scratch)) {
    const tarball = join(
      scratch,
      readdirSync(scratch).find((name) => name.endsWith('.tgz')),
    )
    check('publint', bin('publint'), '--strict', tarball)
    // It is ESM only, as its host is; nobody can `require` it on purpose.
    check('attw', bin('attw'), '--profile', 'esm-only', tarball)
  }

  check('knip', bin('knip'), '--no-progress')
} finally {
  rmSync(scratch, {force: true, recursive: true})
}
