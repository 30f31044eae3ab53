import assert from 'node:assert/strict'
import type {MigrationResult} from '../../../src/lib/migration/result.js'
import type {RemainingClients} from '../../../src/lib/migration/remaining-clients.js'
import {remainingClientsSentence} from '../../../src/lib/ui/remaining-clients.js'

const say = (remainingClients?: RemainingClients) =>
  remainingClientsSentence({
    remainingClients,
    source: {cluster: 'onebox', metas: [], tableId: 7},
    table: 'users',
  } as unknown as MigrationResult)
const none: RemainingClients = {
  counted: 'since-closed',
  mayBeOurs: false,
  refused: [{reads: 0, server: 'a:1', writes: 0}],
  silent: [],
}

describe('remainingClientsSentence', () => {
  it('says that nobody seems to ask', () => {
    assert.equal(
      say(none),
      'No request failed on the servers of onebox that hold users, since it was closed: nobody seems to ask there any more.',
    )
  })

  it('says where requests failed, and where to read who it was', () => {
    const text = say({...none, refused: [...none.refused, {reads: 1200, server: 'b:2', writes: 3}]})
    assert.match(text!, /: b:2 1,200 reads and 3 writes\. Whoever still asks onebox for users is named/)
    assert.match(text!, /lines that begin with 7\. with "fail: client =" and ERR_INVALID_STATE\.$/)
  })

  it('says what it does not know', () => {
    const refused = [{reads: 1, server: 'b:2', writes: 0}]
    const text = say({counted: 'last-interval', mayBeOurs: true, refused, silent: ['c:3']})
    assert.match(
      text!,
      /in the last seconds, of all tables, the last probes of this tool perhaps among them \(1 server did not tell\)/,
    )
  })

  it('is silent when no server told', () => assert.equal(say(), undefined))
})
