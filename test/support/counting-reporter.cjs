// Mocha's spec reporter that also leaves its counts, what failed and what needed a second attempt behind, so that `npm test`
// can close with them, and that names what keeps a process alive after its last test instead of waiting for it for ever.
const {appendFileSync} = require('node:fs')
const {reporters} = require('mocha')

const REST_MS = 30_000

const endAnyway = () => {
  // eslint-disable-next-line n/no-unsupported-features/node-builtins -- experimental on Node 20, where it does its work
  const open = process.getActiveResourcesInfo().join(', ')
  console.error(`This run of mocha does not end by itself ${REST_MS / 1000} s after its last test. Still open: ${open}`)
  // Mocha sets the exit code in a listener of its own, which comes before this one.
  process.once('exit', () => {
    process.exitCode = 1
  })
  process.exit(1)
}

module.exports = class CountingReporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options)
    const file = process.env.MOCHA_COUNTS_FILE
    const [again, failures] = [[], []]
    const into = (list) => (test, error) => list.push({error: error.stack ?? error.message, title: test.fullTitle()})
    runner.on('fail', into(failures))
    runner.on('retry', into(again))
    runner.once('end', () => {
      setTimeout(endAnyway, REST_MS).unref()
      if (!file) return
      const {failures: failed, passes: passed, pending: skipped} = this.stats
      appendFileSync(file, `${JSON.stringify({again, failed, failures, passed, skipped})}\n`)
    })
  }
}
