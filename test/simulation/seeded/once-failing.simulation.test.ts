import assert from 'node:assert/strict'

import {onceFailing} from './once-failing.js'
import {play} from './run.js'

describe('runs that failed once', function () {
  this.timeout(60_000)

  it('go well now', async () => {
    const all = await onceFailing()
    assert.ok(all.length > 0)
    for (const {plan, was} of all) {
      const {failure, trace} = await play(plan)
      assert.equal(failure, undefined, `${was}: ${failure?.message}\n${trace.join('\n')}`)
    }
  })
})
