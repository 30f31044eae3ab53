// `npm test`: everything, on a fresh clone too; `npm test -- --all`: the whole crash matrix and a cutover in real time as well. Only Node's own modules: it runs before anything is installed.
// Its last line is the sum of all test runs.
import {spawn} from 'node:child_process'
import {existsSync, mkdtempSync, readFileSync, rmSync, statSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'table-migrator-test-'))
const countsFile = join(scratch, 'counts.jsonl')
const outcomes = []
/** The longest takes nine minutes; one that hangs must not keep what the others found from being told. */
const LIMIT_MINUTES = Number(process.env.TEST_STEP_LIMIT_MINUTES ?? 20)
/** For what a step leaves running with its output in hand. */
const CLOSE_LIMIT_MS = 10_000
/** Of a failed step's output, told once more at the end: where whoever has only the end of the log finds them. */
const LAST_LINES = 12
/** Their names, by process. */
const running = new Map()
/** Without a wish for colours: tests hold what is printed where there is no terminal. */
const environment = {...process.env, MOCHA_COUNTS_FILE: countsFile}
delete environment.FORCE_COLOR

/** A step is a process group of its own, so that nothing of it outlives it. */
function endGroup({pid}, signal) {
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, signal)
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}

for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    for (const child of running.keys()) endGroup(child, signal)
    rmSync(scratch, {force: true, recursive: true})
    process.kill(process.pid, signal)
  })

/** @returns its exit code, or why it has none; `undefined` when it could not be started */
function ended(name, child) {
  return new Promise((resolve) => {
    let hung = false
    const limit = setTimeout(() => {
      hung = true
      endGroup(child, 'SIGKILL')
    }, LIMIT_MINUTES * 60_000)
    const done = (status) => {
      clearTimeout(limit)
      clearTimeout(closing)
      resolve(hung ? `did not end within ${LIMIT_MINUTES} min` : status)
    }

    let closing
    child.once('exit', () => {
      closing = setTimeout(() => {
        endGroup(child, 'SIGKILL')
        for (const stream of [child.stdout, child.stderr]) stream?.destroy()
        done('left a process behind that holds its output')
      }, CLOSE_LIMIT_MS)
    })
    child.once('close', (code, signal) => done(code ?? `was ended by ${signal}`))
    child.once('error', (error) => {
      console.error(`${name}: ${error.message}`)
      done(undefined)
    })
  })
}

/**
 * A step is named by what it is told to run; a failed one does not keep later ones from telling what they know.
 * Its output is shown as it comes, or, for one of several steps at a time, whole at its end.
 */
async function step([name, command, ...args], {alone = true} = {}) {
  if (alone) console.log(`\n=== ${name}`)
  const startMs = Date.now()
  const child = spawn(command, args, {
    cwd: root,
    detached: process.platform !== 'win32',
    env: environment,
    shell: process.platform === 'win32',
    stdio: alone ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
  })
  running.set(child, name)
  const said = []
  child.stdout?.on('data', (chunk) => said.push(chunk))
  child.stderr?.on('data', (chunk) => said.push(chunk))
  const status = await ended(name, child)
  running.delete(child)
  if (!alone) process.stdout.write(Buffer.concat([Buffer.from(`\n=== ${name}\n`), ...said]))
  if (typeof status === 'string') console.error(`\n${name} ${status}`)
  // Whoever has only the end of a log that was cut wants to know what it waited for.
  if (running.size > 0) console.log(`--- ${name} has ended; still at work: ${[...running.values()].join(', ')}`)
  const text = Buffer.concat(said).toString()
  outcomes.push({name, passed: status === 0, seconds: (Date.now() - startMs) / 1000, text})
  return status === 0
}

/** Steps that do not disturb each other, at the same time. */
const together = (...steps) => Promise.all(steps.map((each) => step(each, {alone: false})))

const bin = (name) => join(root, 'node_modules', '.bin', name)
/** For tests with real sockets, processes and time: a machine that stands still for a moment is no fault of ours. What needs it is told. */
const onceMore = ['--retries', '1']
const mocha = (level, ...options) => [`${level} tests`, bin('mocha'), `test/${level}/**/*.test.ts`, ...options]
/** Real time and the built program: most of it is waiting. */
const journeys = 'test/e2e/journeys.e2e.test.ts'
/** At the lowest priority, where the system knows any. */
const behind = ([name, ...command]) =>
  process.platform === 'win32' ? [name, ...command] : [name, 'nice', '-n', '19', ...command]
const npm = (name, script) => [name, 'npm', 'run', '--silent', script]

/** npm writes its own lockfile into node_modules when it is done. */
function isInstalled() {
  const installed = join(root, 'node_modules', '.package-lock.json')
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs
}

async function runAll() {
  if (!isInstalled() && !(await step(['install dependencies', 'npm', 'ci', '--no-audit', '--no-fund']))) return
  await step(['ZooKeeper for the tests', process.execPath, 'scripts/setup-zookeeper.mjs'])
  await step(['Chromium for the tests', process.execPath, 'scripts/setup-chromium.mjs'])
  await together(npm('lint', 'lint'), npm('type check', 'typecheck'))
  const built = await step(npm('build', 'build'))
  if (built)
    await together(
      ['manifest and README are up to date', process.execPath, 'scripts/check-generated.mjs'],
      npm('publint, attw, knip', 'check:package'),
    )
  await step(mocha('unit'))
  // These two run on clocks that are scaled: whatever takes the cores from them looks like slow servers.
  await step(mocha('integration', ...onceMore))
  // The simulation has no time but its own: it takes what the others leave.
  await together(
    mocha('e2e', '--ignore', journeys, ...onceMore),
    behind(npm('2,000 simulated migrations', 'simulate:ci')),
  )
  await step(mocha('simulation'))
  // Some wait for most of their time, the other counts on virtual time. A sample of it runs with the integration tests.
  const last = built ? [mocha('install'), ['operators’ journeys', bin('mocha'), journeys]] : []
  if (process.argv.includes('--all'))
    last.push(npm('crash matrix', 'test:crash'), npm('a cutover in real time', 'bench:once'))
  await together(...last)
}

/** What test/support/counting-reporter.cjs left, one line a run. */
function ofRuns() {
  const runs = existsSync(countsFile) ? readFileSync(countsFile, 'utf8').split('\n').filter(Boolean) : []
  const sum = {failed: 0, passed: 0, skipped: 0}
  const [again, failures] = [[], []]
  for (const run of runs.map((line) => JSON.parse(line))) {
    for (const key of Object.keys(sum)) sum[key] += run[key]
    again.push(...(run.again ?? []))
    failures.push(...run.failures)
  }

  return {again, failures, sum}
}

try {
  await runAll()
  console.log('')
  for (const {name, passed, seconds, text} of outcomes) {
    console.log(`${passed ? 'ok    ' : 'FAILED'}  ${name} (${seconds.toFixed(1)} s)`)
    // A linter's finding stands far above; what tests found is told below, by their names.
    if (!passed) for (const line of text.trimEnd().split('\n').slice(-LAST_LINES)) console.log(`        ${line}`)
  }

  const {
    again,
    failures,
    sum: {failed, passed, skipped},
  } = ofRuns()
  const tell = (word, {error, title}) =>
    console.log(`${word}  ${title}\n        ${error.replaceAll('\n', '\n        ')}`)
  // Once more, where whoever has only the end of the log finds it.
  for (const test of again) tell('AGAIN ', test)
  for (const test of failures) tell('FAILED', test)
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
  process.exitCode = outcomes.every((outcome) => outcome.passed) && failed === 0 && passed > 0 ? 0 : 1
} finally {
  rmSync(scratch, {force: true, recursive: true})
}
