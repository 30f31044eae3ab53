// Stryker's own runner for mocha does not know mocha 12: this one does. Test files are loaded once; mutants are switched on between runs.
import {commonTokens, declareClassPlugin, PluginKind, tokens} from '@stryker-mutator/api/plugin'
import {determineHitLimitReached, DryRunStatus, TestStatus, toMutantRunResult} from '@stryker-mutator/api/test-runner'
import Mocha from 'mocha'
import {performance} from 'node:perf_hooks'

/** Where Stryker's instrumented code looks for the mutant that is on. */
globalThis.__stryker__ ??= {}
const context = globalThis.__stryker__

class Reporter {
  static tests = []

  constructor(runner) {
    Reporter.tests = []
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
  }

  async capabilities() {
    return {reloadEnvironment: false}
  }

  async init() {
    this.mocha = new Mocha({reporter: Reporter, timeout: 0})
    this.mocha.cleanReferencesAfterRun(false)
    for (const file of this.files) this.mocha.addFile(file)
    const tell = (test) => this.onTest?.(test.fullTitle())
    this.mocha.suite.beforeEach('tell Stryker the test', function () {
      tell(this.currentTest)
    })
  }

  async dryRun({coverageAnalysis, disableBail}) {
    if (coverageAnalysis === 'perTest') {
      this.onTest = (title) => {
        context.currentTestId = title
      }
    }

    const result = await this.run(disableBail)
    this.onTest = undefined
    return coverageAnalysis === 'off' ? result : {...result, mutantCoverage: context.mutantCoverage}
  }

  async mutantRun({activeMutant, disableBail, hitLimit, mutantActivation, testFilter}) {
    context.hitLimit = hitLimit
    context.hitCount = hitLimit ? 0 : undefined
    const wanted = testFilter?.map((title) => `^${title.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`)}$`)
    this.mocha.grep(wanted ? new RegExp(wanted.join('|')) : /^/)
    return toMutantRunResult(await this.run(disableBail, activeMutant.id, mutantActivation))
  }

  async run(disableBail, mutant, mutantActivation) {
    try {
      if (!this.isLoaded) {
        context.activeMutant = mutantActivation === 'static' ? mutant : undefined
        await this.mocha.loadFilesAsync()
        this.isLoaded = true
      }

      setBail(this.mocha.suite, !disableBail)
      context.activeMutant = mutant
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

export const strykerPlugins = [declareClassPlugin(PluginKind.TestRunner, 'mocha-12', Runner)]
export const strykerValidationSchema = {
  properties: {mochaFiles: {items: {type: 'string'}, type: 'array'}},
  type: 'object',
}
