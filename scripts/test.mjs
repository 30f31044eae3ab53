// `npm test`: everything, on a fresh clone too; `npm test -- --all`: the whole crash matrix as well. Only Node's own modules: it runs before anything is installed.
// Its last line is the sum of all test runs.
import {spawnSync} from 'node:child_process'
import {existsSync, mkdtempSync, readFileSync, rmSync, statSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'table-migrator-test-'))
const countsFile = join(scratch, 'counts.jsonl')
const outcomes = []

/** A step is named by what it is told to run; a failed one does not keep later ones from telling what they know. */
function step(name, command, ...args) {
  console.log(`\n=== ${name}`)
  const startMs = Date.now()
  const {error, status} = spawnSync(command, args, {
    cwd: root,
    env: {...process.env, MOCHA_COUNTS_FILE: countsFile},
    shell: process.platform === 'win32',
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (error) console.error(`${name}: ${error.message}`)
  const passed = status === 0
  outcomes.push({name, passed, seconds: (Date.now() - startMs) / 1000})
  return passed
}

const bin = (name) => join(root, 'node_modules', '.bin', name)
const mocha = (level) => step(`${level} tests`, bin('mocha'), `test/${level}/**/*.test.ts`)

/** npm writes its own lockfile into node_modules when it is done. */
function isInstalled() {
  const installed = join(root, 'node_modules', '.package-lock.json')
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs
}

function runAll() {
  if (!isInstalled() && !step('install dependencies', 'npm', 'ci', '--no-audit', '--no-fund')) return
  step('ZooKeeper for the tests', process.execPath, 'scripts/setup-zookeeper.mjs')
  step('lint', 'npm', 'run', '--silent', 'lint')
  step('type check', 'npm', 'run', '--silent', 'typecheck')
  const built = step('build', 'npm', 'run', '--silent', 'build')
  if (built) step('manifest and README are up to date', process.execPath, 'scripts/check-generated.mjs')
  mocha('unit')
  mocha('integration')
  mocha('e2e')
  if (built) mocha('install')
  // A sample of these runs with the integration tests; all of them take some minutes more: CI does that.
  if (process.argv.includes('--all')) step('crash matrix', 'npm', 'run', '--silent', 'test:crash')
}

/** The counts that test/support/counting-reporter.cjs left, one line a run. */
function sumOfCounts() {
  const sum = {failed: 0, passed: 0, skipped: 0}
  if (!existsSync(countsFile)) return sum
  for (const line of readFileSync(countsFile, 'utf8').split('\n').filter(Boolean))
    for (const [key, count] of Object.entries(JSON.parse(line))) sum[key] += count
  return sum
}

try {
  runAll()
  console.log('')
  for (const {name, passed, seconds} of outcomes)
    console.log(`${passed ? 'ok    ' : 'FAILED'}  ${name} (${seconds.toFixed(1)} s)`)
  const {failed, passed, skipped} = sumOfCounts()
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
  process.exitCode = outcomes.every((outcome) => outcome.passed) && failed === 0 && passed > 0 ? 0 : 1
} finally {
  rmSync(scratch, {force: true, recursive: true})
}
