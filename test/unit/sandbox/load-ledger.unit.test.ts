import assert from 'node:assert/strict'

import {LoadLedger} from '../../sandbox/load-ledger.js'

describe('load ledger', () => {
  const read = (value: string | undefined) => () => Promise.resolve(value)

  it('accepts the last acknowledged value and what was tried after it', async () => {
    const ledger = new LoadLedger()
    ledger.begin('k', 'v1').acknowledged(0, 0)
    assert.equal(await ledger.check('k', read('v1')), undefined)
    assert.deepEqual(await ledger.check('k', read('v0')), {acceptable: ['v1'], found: 'v0', key: 'k'})
    ledger.begin('k', 'v2').unanswered()
    ledger.begin('k', undefined).unanswered()
    ledger.begin('k', 'v3').refused()
    for (const value of ['v1', 'v2', undefined]) assert.equal(await ledger.check('k', read(value)), undefined)
    assert.equal((await ledger.check('k', read('v3')))?.found, 'v3')
    ledger.begin('k', 'v4').acknowledged(1, 0)
    assert.equal((await ledger.check('k', read('v2')))?.found, 'v2')
    assert.equal(await ledger.check('k', read('v4')), undefined)
  })

  it('allows no row for a key whose only writes were not answered', async () => {
    const ledger = new LoadLedger()
    ledger.begin('k', 'v1').unanswered()
    for (const value of ['v1', undefined]) assert.equal(await ledger.check('k', read(value)), undefined)
    assert.equal((await ledger.check('k', read('v0')))?.found, 'v0')
  })

  it('reads again when a write came in between', async () => {
    const ledger = new LoadLedger()
    ledger.begin('k', 'v1').acknowledged(0, 0)
    let reads = 0
    const racing = async () => {
      if (reads++ > 0) return 'v2'
      ledger.begin('k', 'v2').acknowledged(1, 0)
      return 'v0'
    }

    assert.equal(await ledger.check('k', racing), undefined)
    assert.equal(reads, 2)
  })
})
