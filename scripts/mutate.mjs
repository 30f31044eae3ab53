// `npm run mutate -- FILE…`: mutation tests with Stryker. Without files: all that decide. `--near`: only by the tests near to them.
// Tells for each file how many mutants were killed and leaves the survivors in coverage/mutation/<file>.txt.
// Ends with 1 where fewer than 85 % of a file's were killed (docs/mutation.md says why).
import {spawnSync} from 'node:child_process'
import {existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join, relative} from 'node:path'
import {fileURLToPath} from 'node:url'

const LEAST_PERCENT = 85
const root = fileURLToPath(new URL('..', import.meta.url))
const reports = join(root, 'coverage', 'mutation')

/** Measures how long writes are denied, in a third of the time of all tests. */
const slow = /^floor\./

/** Files that decide, and the tests that must notice when they decide otherwise. */
const areas = [
  {
    files: filesIn('src/lib/rpc'),
    tests: testsIn('test/unit/rpc'),
  },
  {
    files: [
      ...['phases', 'proof', 'guard'].flatMap((folder) => filesIn(`src/lib/migration/${folder}`)),
      ...['cutover', 'doubt', 'journal', 'journal-record', 'position', 'undo', 'wait'].map(
        (name) => `src/lib/migration/${name}.ts`,
      ),
    ],
    tests: ['lock', 'migration', 'rollback'].flatMap((folder) => testsIn(`test/unit/${folder}`)),
  },
  {
    files: ['duplication', 'plan', 'return', 'writes'].map((name) => `src/lib/migration/rollback/${name}.ts`),
    // On virtual time too, against the sandbox in memory.
    tests: [
      ...testsIn('test/unit/rollback'),
      'test/unit/migration/broken-return.unit.test.ts',
      ...['rollback', 'rollback-copy-gone', 'rollback-return'].map(
        (name) => `test/integration/${name}.integration.test.ts`,
      ),
    ],
  },
]

function filesIn(folder) {
  const names = existsSync(join(root, folder)) ? readdirSync(join(root, folder)) : []
  return names.filter((name) => name.endsWith('.ts')).map((name) => `${folder}/${name}`)
}

function testsIn(folder) {
  const names = readdirSync(join(root, folder), {recursive: true})
  return names.filter((name) => name.endsWith('.test.ts') && !slow.test(name)).map((name) => `${folder}/${name}`)
}

function areaOf(file) {
  return areas.find(({files}) => files.includes(file)) ?? {files: [file], tests: testsIn('test/unit')}
}

/** Unit tests that import one of the files, or where none does, neighbours by way of which it is imported: they take milliseconds. */
function nearTests(files) {
  return [...new Set(files.flatMap((file) => nearest([file], testsIn('test/unit'))))]
}

function nearest(files, tests, seen = new Set(files)) {
  const found = files.flatMap((file) => importersOf(file, tests))
  if (found.length > 0) return found
  const neighbours = files
    .flatMap((file) => importersOf(file, filesIn(file.slice(0, file.lastIndexOf('/')))))
    .filter((file) => !seen.has(file))
  return neighbours.length === 0 ? [] : nearest(neighbours, tests, new Set([...seen, ...neighbours]))
}

/** Those of the candidates that import a file, from its own folder or another one. */
function importersOf(file, candidates) {
  const name = file.slice(file.lastIndexOf('/') + 1).replace(/ts$/, 'js')
  const path = `/${file.slice('src/'.length).replace(/ts$/, 'js')}'`
  return candidates.filter((candidate) => {
    const text = readFileSync(join(root, candidate), 'utf8')
    return text.includes(path) || (isBeside(candidate, file) && text.includes(`'./${name}'`))
  })
}

function isBeside(one, other) {
  return one.slice(0, one.lastIndexOf('/')) === other.slice(0, other.lastIndexOf('/'))
}

function configOf(files, tests, report, scratch) {
  return {
    allowEmpty: true,
    checkers: [],
    // Only what the tests read: every run copies it.
    ignorePatterns: [
      '*',
      '!bench/**',
      '!bin/**',
      '!package.json',
      '!schemas/**',
      '!src/**',
      '!test/**',
      '!tsconfig.json',
    ],
    concurrency: 1,
    coverageAnalysis: 'perTest',
    fileLogLevel: 'off',
    jsonReporter: {fileName: report},
    logLevel: 'error',
    mochaFiles: tests,
    mochaMemory: join(scratch, 'memory.json'),
    mutantsKilled: join(scratch, 'killed.json'),
    mutantLines: join(reports, 'lines.jsonl'),
    mutate: files,
    plugins: [join(root, 'scripts', 'mutate-runner.mjs')],
    reporters: ['json', 'lines'],
    tempDirName: join(scratch, 'sandbox'),
    testRunner: 'mocha-12',
    testRunnerNodeArgs: ['--import', 'tsx'],
    // What hangs is cut by the runner itself; this is for mutants that do not even let its timer fire.
    timeoutFactor: 0.5,
    timeoutMS: 10_000,
  }
}

const killed = new Set(['Killed', 'RuntimeError', 'Timeout'])

/**
 * First by tests near to the files, then, what survived, by all of their area.
 * @returns figures of each file, or undefined when Stryker failed
 */
function mutate(files) {
  const scratch = mkdtempSync(join(tmpdir(), 'table-migrator-mutate-'))
  try {
    const near = nearTests(files)
    const found = new Map()
    for (const tests of near.length === 0
      ? [areaOf(files[0]).tests]
      : isNear
        ? [near]
        : [near, areaOf(files[0]).tests]) {
      const report = join(scratch, 'report.json')
      const config = join(scratch, 'stryker.conf.json')
      writeFileSync(config, JSON.stringify(configOf(files, tests, report, scratch)))
      rmSync(join(scratch, 'memory.json'), {force: true})
      const stryker = join(root, 'node_modules', '.bin', 'stryker')
      const {status} = spawnSync(stryker, ['run', config], {cwd: root, stdio: ['ignore', 'inherit', 'inherit']})
      if (status !== 0 || !existsSync(report)) return
      const all = Object.entries(JSON.parse(readFileSync(report, 'utf8')).files)
      for (const [file, {mutants, source}] of all) found.set(file, judge(file, mutants, source))
      // The same files have the same mutants by the same numbers.
      const gone = all.flatMap(([, {mutants}]) => mutants.filter(({status}) => killed.has(status)).map(({id}) => id))
      writeFileSync(join(scratch, 'killed.json'), JSON.stringify(gone))
    }

    return found
  } finally {
    rmSync(scratch, {force: true, recursive: true})
  }
}

/** Leaves the survivors in a file. */
function judge(file, all, source) {
  const mutants = all.filter(({status}) => !['CompileError', 'Ignored'].includes(status))
  const survivors = mutants.filter(({status}) => !killed.has(status))
  const texts = survivors.map((mutant) => describe(mutant, source))
  writeFileSync(join(reports, `${file.replaceAll('/', '_')}.txt`), texts.join('\n'))
  return {killed: mutants.length - survivors.length, mutants: mutants.length}
}

function describe({location: {end, start}, mutatorName, replacement, status}, source) {
  const lines = source.split('\n').slice(start.line - 1, end.line)
  return `${start.line}:${start.column} ${status} ${mutatorName}\n  - ${lines.join('\n    ')}\n  + ${replacement}\n`
}

mkdirSync(reports, {recursive: true})
const isNear = process.argv.includes('--near')
const given = process.argv
  .slice(2)
  .filter((flag) => flag !== '--near')
  .map((path) => relative(root, join(process.cwd(), path)))
const wanted = given.length > 0 ? given : areas.flatMap(({files}) => files)
let isGood = true
// Files of one area share one dry run of all its tests, which takes longer than most mutants.
for (const area of new Set(wanted.map((file) => areaOf(file)))) {
  const files = wanted.filter((file) => area.files.includes(file))
  const startMs = Date.now()
  const figures = mutate(files)
  for (const file of files) {
    const found = figures?.get(file) ?? (figures && {killed: 0, mutants: 0})
    const percent = found && found.mutants > 0 ? (100 * found.killed) / found.mutants : 100
    const good = found !== undefined && percent >= LEAST_PERCENT
    isGood &&= good
    const text = found ? `${found.killed} of ${found.mutants} killed, ${percent.toFixed(1)} %` : 'Stryker failed'
    console.log(`${good ? 'ok    ' : 'FEW   '} ${file}: ${text}`)
  }

  console.log(`${files.length} files, ${Math.round((Date.now() - startMs) / 1000)} s`)
}

process.exitCode = isGood ? 0 : 1
