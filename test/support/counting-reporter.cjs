// Mocha's spec reporter that also leaves its counts behind, so that `npm test` can close with the sum of all runs.
const {appendFileSync} = require('node:fs')
const {reporters} = require('mocha')

module.exports = class CountingReporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options)
    const file = process.env.MOCHA_COUNTS_FILE
    if (!file) return
    runner.once('end', () => {
      const {failures, passes, pending} = this.stats
      appendFileSync(file, `${JSON.stringify({failed: failures, passed: passes, skipped: pending})}\n`)
    })
  }
}
