// `npm run mutate -- FILE…`: mutation tests with Stryker, one file at a time so that it ends. Without files: all that decide.
// Tells for each file how many mutants were killed and leaves the survivors in coverage/mutation/<file>.txt.
// Ends with 1 where fewer than 85 % were killed that docs/mutation.md does not explain.
import {spawnSync} from 'node:child_process'
import {existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join, relative} from 'node:path'
import {fileURLToPath} from 'node:url'

const LEAST_PERCENT = 85
const root = fileURLToPath(new URL('..', import.meta.url))
const reports = join(root, 'coverage', 'mutation')

/** Files that decide, and the tests that must notice when they decide otherwise. */
const areas = [
  {
    files: ['codec', 'connection', 'custom-types', 'frame', 'memory-transport', 'message-reader', 'protocol'].map(
      (name) => `src/lib/rpc/${name}.ts`,
    ),
    tests: testsIn('test/unit/rpc'),
  },
  {
    files: [
      ...['phases', 'proof', 'guard'].flatMap((folder) => filesIn(`src/lib/migration/${folder}`)),
      ...['cutover', 'journal', 'journal-record', 'position', 'undo', 'wait'].map(
        (name) => `src/lib/migration/${name}.ts`,
      ),
    ],
    // Most of the others rehearse whole migrations.
    isNarrow: true,
    tests: [...testsIn('test/unit/migration'), ...testsIn('test/unit/lock')],
  },
]

function filesIn(folder) {
  const names = existsSync(join(root, folder)) ? readdirSync(join(root, folder)) : []
  return names.filter((name) => name.endsWith('.ts')).map((name) => `${folder}/${name}`)
}

function testsIn(folder) {
  const names = readdirSync(join(root, folder), {recursive: true})
  return names.filter((name) => name.endsWith('.test.ts')).map((name) => `${folder}/${name}`)
}

/** Unit tests that import the file; where none does, all of its area. */
function testsOf(file) {
  const importing = testsIn('test/unit').filter((test) => {
    const text = readFileSync(join(root, test), 'utf8')
    return text.includes(`/${file.slice('src/'.length).replace(/ts$/, 'js')}'`)
  })
  const area = areas.find(({files}) => files.includes(file)) ?? {isNarrow: false, tests: testsIn('test/unit')}
  return area.isNarrow && importing.length > 0 ? importing : area.tests
}

function configOf(file, report, scratch) {
  return {
    allowEmpty: true,
    checkers: [],
    // Only what the tests read: every run copies it.
    ignorePatterns: ['*', '!bin/**', '!package.json', '!schemas/**', '!src/**', '!test/**', '!tsconfig.json'],
    concurrency: 1,
    coverageAnalysis: 'perTest',
    jsonReporter: {fileName: report},
    mochaFiles: testsOf(file),
    mutate: [file],
    plugins: [join(root, 'scripts', 'mutate-runner.mjs')],
    reporters: ['json'],
    tempDirName: join(scratch, 'sandbox'),
    testRunner: 'mocha-12',
    testRunnerNodeArgs: ['--import', 'tsx'],
    // A mutant that waits for ever is killed by this, not by mocha.
    timeoutFactor: 2,
    timeoutMS: 5000,
  }
}

const killed = new Set(['Killed', 'RuntimeError', 'Timeout'])

/** @returns figures of one file, or undefined when Stryker failed */
function mutate(file) {
  const scratch = mkdtempSync(join(tmpdir(), 'table-migrator-mutate-'))
  const name = file.replaceAll('/', '_')
  const report = join(reports, `${name}.json`)
  const config = join(scratch, 'stryker.conf.json')
  writeFileSync(config, JSON.stringify(configOf(file, report, scratch)))
  rmSync(report, {force: true})
  try {
    const stryker = join(root, 'node_modules', '.bin', 'stryker')
    const {status} = spawnSync(stryker, ['run', config], {cwd: root, stdio: ['ignore', 'inherit', 'inherit']})
    if (status !== 0 || !existsSync(report)) return
    const found = Object.values(JSON.parse(readFileSync(report, 'utf8')).files)[0]
    const mutants = found.mutants.filter(({status}) => !['CompileError', 'Ignored'].includes(status))
    const survivors = mutants.filter(({status}) => !killed.has(status))
    writeFileSync(join(reports, `${name}.txt`), survivors.map((mutant) => describe(mutant, found.source)).join('\n'))
    return {file, killed: mutants.length - survivors.length, mutants: mutants.length}
  } finally {
    rmSync(scratch, {force: true, recursive: true})
  }
}

function describe({location: {end, start}, mutatorName, replacement, status}, source) {
  const lines = source.split('\n').slice(start.line - 1, end.line)
  return `${start.line}:${start.column} ${status} ${mutatorName}\n  - ${lines.join('\n    ')}\n  + ${replacement}\n`
}

mkdirSync(reports, {recursive: true})
const wanted = process.argv.slice(2).map((path) => relative(root, join(process.cwd(), path)))
const rows = []
for (const file of wanted.length > 0 ? wanted : areas.flatMap(({files}) => files)) {
  const startMs = Date.now()
  const figures = mutate(file)
  const percent = figures && figures.mutants > 0 ? (100 * figures.killed) / figures.mutants : 100
  const seconds = Math.round((Date.now() - startMs) / 1000)
  const good = figures !== undefined && percent >= LEAST_PERCENT
  rows.push({
    good,
    text: figures ? `${figures.killed} of ${figures.mutants} killed, ${percent.toFixed(1)} %` : 'Stryker failed',
  })
  console.log(`${good ? 'ok    ' : 'FEW   '} ${file}: ${rows.at(-1).text} (${seconds} s)`)
}

process.exitCode = rows.every(({good}) => good) ? 0 : 1
