import assert from 'node:assert/strict'

import {AddressBook, splitAddresses, strangers} from '../../../src/lib/migration/preflight/addresses.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

describe('addresses under several names', () => {
  const clock = new VirtualClock()

  it('resolves each host once, and leaves out what it cannot resolve', async () => {
    const asked: string[] = []
    const book = new AddressBook(clock, async (host) => {
      asked.push(host)
      if (host === 'nowhere') throw new Error('ENOTFOUND')
      return ['10.1.1.1']
    })
    const found = await book.resolveAll(['meta-a:1', 'meta-a:2', '10.9.9.9:3', 'nowhere:4', 'no port'])
    assert.deepEqual(Object.fromEntries(found), {
      '10.9.9.9:3': '10.9.9.9:3',
      'meta-a:1': '10.1.1.1:1',
      'meta-a:2': '10.1.1.1:2',
    })
    assert.deepEqual(asked, ['meta-a', 'nowhere'])
  })

  it('does not wait for a name server that is silent', async () => {
    const book = new AddressBook(clock, () => new Promise(() => {}))
    const beginMs = clock.nowMs()
    assert.equal((await clock.run(book.resolveAll(['meta-a:1']))).size, 0)
    assert.ok(clock.nowMs() - beginMs <= 1500)
  })

  it('finds strangers whatever they are called', () => {
    const addresses = new Map([['meta-a:1', '10.1.1.1:1']])
    assert.deepEqual(strangers({addresses}, ['meta-a:1', '10.1.1.2:1', 'meta-b:1'], ['10.1.1.1:1']), [
      '10.1.1.2:1',
      'meta-b:1',
    ])
    assert.deepEqual(splitAddresses(' 10.1.1.1:1, meta-b:1,'), ['10.1.1.1:1', 'meta-b:1'])
  })
})
