// Stryker's own runner for mocha does not know mocha 12: this one does. Test files are loaded once; mutants are switched on between runs.
import {commonTokens, declareClassPlugin, PluginKind, tokens} from '@stryker-mutator/api/plugin'
import {
  determineHitLimitReached,
  DryRunStatus,
  MutantRunStatus,
  TestStatus,
  toMutantRunResult,
} from '@stryker-mutator/api/test-runner'
import Mocha from 'mocha'
import {appendFileSync, existsSync, readFileSync, writeFileSync} from 'node:fs'
import {performance} from 'node:perf_hooks'

/** Where Stryker's instrumented code looks for the mutant that is on. */
globalThis.__stryker__ ??= {}
const context = globalThis.__stryker__
/** How many of the tests that killed most are asked before all others. */
const FIRST = 6
/** What tests of one mutant may take in the dry run, all together, ms: the rest is not asked. */
const BUDGET_MS = 5000
/** A test is cut when it has used so much more of the processor than in the dry run, or so many ms more. */
const CUT_FACTOR = 10
const CUT_MS = 800

class Reporter {
  static tests = []

  constructor(runner) {
    let startMs = performance.now()
    const note = (test, rest) => {
      const name = test.fullTitle()
      Reporter.tests.push({fileName: test.file, id: name, name, timeSpentMs: performance.now() - startMs, ...rest})
      startMs = performance.now()
    }

    runner.on('pass', (test) => note(test, {status: TestStatus.Success}))
    runner.on('pending', (test) => note(test, {status: TestStatus.Skipped}))
    runner.on('fail', (test, error) => {
      note(test, {failureMessage: error?.stack ?? String(error), status: TestStatus.Failed})
    })
  }
}

class Runner {
  static inject = tokens(commonTokens.options)
  isLoaded = false

  constructor(options) {
    this.files = options.mochaFiles
    /** What the dry run took of each test, ms, and how often each has killed; a mutant that hangs ends the process, so it is kept. */
    this.memory = options.mochaMemory
    const {kills, times} = existsSync(this.memory) ? JSON.parse(readFileSync(this.memory, 'utf8')) : {}
    this.killed = new Set(
      existsSync(options.mutantsKilled) ? JSON.parse(readFileSync(options.mutantsKilled, 'utf8')) : [],
    )
    this.kills = new Map(kills)
    this.times = new Map(times)
  }

  async capabilities() {
    return {reloadEnvironment: false}
  }

  async init() {
    this.mocha = new Mocha({reporter: Reporter, timeout: 0})
    this.mocha.cleanReferencesAfterRun(false)
    for (const file of this.files) this.mocha.addFile(file)
    const begin = (test) => this.begin(test)
    this.mocha.suite.beforeEach('tell Stryker the test', function () {
      begin(this.currentTest)
    })
  }

  begin(test) {
    this.onTest?.(test.fullTitle())
    this.current = {cpu: process.cpuUsage(), title: test.fullTitle()}
  }

  async dryRun({coverageAnalysis, disableBail}) {
    if (coverageAnalysis === 'perTest') {
      this.onTest = (title) => {
        context.currentTestId = title
      }
    }

    const result = await this.guarded(() => this.run({bail: !disableBail}))
    this.onTest = undefined
    for (const {name, timeSpentMs} of result.tests ?? []) this.times.set(name, timeSpentMs)
    this.remember()
    return coverageAnalysis === 'off' ? result : {...result, mutantCoverage: context.mutantCoverage}
  }

  async mutantRun({activeMutant, disableBail, hitLimit, mutantActivation, testFilter}) {
    if (this.killed.has(activeMutant.id)) return {killedBy: [], nrOfTests: 0, status: MutantRunStatus.Killed}
    if (this.isSpoilt) process.exit()
    context.hitLimit = hitLimit
    context.hitCount = hitLimit ? 0 : undefined
    const result = await this.guarded(() => this.ask(testFilter, disableBail, activeMutant.id, mutantActivation))
    // What was cut goes on in this process: the next mutant needs another one, which Stryker starts.
    this.isSpoilt ||= result.status === DryRunStatus.Timeout
    for (const {id, status} of result.tests ?? []) {
      if (status === TestStatus.Failed) this.kills.set(id, (this.kills.get(id) ?? 0) + 1)
    }

    this.remember()
    return toMutantRunResult(result)
  }

  /** First those tests that killed most, then the quickest, until one kills or the budget is spent. */
  async ask(testFilter, disableBail, mutant, mutantActivation) {
    const timeOf = (title) => this.times.get(title) ?? 0
    const killsOf = (title) => this.kills.get(title) ?? 0
    const all = [...(testFilter ?? this.times.keys())].sort(
      (one, other) => killsOf(other) - killsOf(one) || timeOf(one) - timeOf(other),
    )
    const rest = all.slice(FIRST).sort((one, other) => timeOf(one) - timeOf(other))
    let leftMs = BUDGET_MS
    const affordable = rest.filter((title) => {
      leftMs -= timeOf(title)
      return leftMs >= 0
    })
    let result
    for (const titles of [all.slice(0, FIRST), affordable]) {
      if (titles.length === 0 && result) break
      result = await this.run({bail: !disableBail, mutant, mutantActivation, titles})
      const failed = result.tests?.some(({status}) => status === TestStatus.Failed) ?? true
      if (failed) break
    }

    return result
  }

  /** A test that goes on and on on virtual time is cut here; one that does not even let timers fire, by Stryker. */
  async guarded(run) {
    let timer
    const cut = new Promise((resolve) => {
      timer = setInterval(() => {
        if (!this.current || this.onTest) return
        const {system, user} = process.cpuUsage(this.current.cpu)
        const limitMs = CUT_MS + CUT_FACTOR * (this.times.get(this.current.title) ?? 0)
        if ((system + user) / 1000 > limitMs) resolve({status: DryRunStatus.Timeout})
      }, 100)
    })
    try {
      return await Promise.race([run(), cut])
    } finally {
      clearInterval(timer)
      this.current = undefined
    }
  }

  remember() {
    writeFileSync(this.memory, JSON.stringify({kills: [...this.kills], times: [...this.times]}))
  }

  async run({bail, mutant, mutantActivation, titles}) {
    try {
      if (!this.isLoaded) {
        context.activeMutant = mutantActivation === 'static' ? mutant : undefined
        await this.mocha.loadFilesAsync()
        this.isLoaded = true
      }

      const wanted = titles?.map((title) => `^${title.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`)}$`)
      this.mocha.grep(wanted ? new RegExp(wanted.join('|')) : /^/)
      setBail(this.mocha.suite, bail)
      context.activeMutant = mutant
      Reporter.tests = []
      await new Promise((resolve) => {
        this.mocha.run(resolve)
      })
      const limited = determineHitLimitReached(context.hitCount, context.hitLimit)
      return limited ?? {status: DryRunStatus.Complete, tests: Reporter.tests}
    } catch (error) {
      return {errorMessage: error?.stack ?? String(error), status: DryRunStatus.Error}
    }
  }
}

function setBail(suite, bail) {
  suite.bail(bail)
  for (const child of suite.suites) setBail(child, bail)
}

/** Writes each mutant down as soon as it is judged: a long run can be read while it goes on. */
class Lines {
  static inject = tokens(commonTokens.options)

  constructor(options) {
    this.file = options.mutantLines
    writeFileSync(this.file, '')
  }

  onMutantTested({fileName, location, mutatorName, replacement, status}) {
    appendFileSync(this.file, `${JSON.stringify({fileName, location, mutatorName, replacement, status})}\n`)
  }
}

export const strykerPlugins = [
  declareClassPlugin(PluginKind.TestRunner, 'mocha-12', Runner),
  declareClassPlugin(PluginKind.Reporter, 'lines', Lines),
]
export const strykerValidationSchema = {
  properties: {
    mochaFiles: {items: {type: 'string'}, type: 'array'},
    mochaMemory: {type: 'string'},
    mutantLines: {type: 'string'},
    mutantsKilled: {type: 'string'},
  },
  type: 'object',
}
