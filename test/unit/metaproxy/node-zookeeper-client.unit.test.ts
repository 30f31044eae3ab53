import assert from 'node:assert/strict'
import {createClient} from 'node-zookeeper-client'

describe('node-zookeeper-client', () => {
  // Our sessions hold these to make the client end; another version of it may have them no more.
  it('has the inside that sessions rely on', () => {
    const client = createClient('127.0.0.1:1')
    const {connectionManager} = client as unknown as {connectionManager: Record<string, unknown>}
    for (const name of ['connect', 'findNextServer', 'onSocketConnected', 'onSocketData', 'onSocketError']) {
      assert.equal(typeof connectionManager[name], 'function', name)
    }

    assert.deepEqual(connectionManager.servers, [{host: '127.0.0.1', port: '1'}])
    assert.equal(connectionManager.connectTimeoutHandler, null)
    const transaction = client.transaction().check('/a', 3) as unknown as {ops: unknown}
    assert.deepEqual(transaction.ops, [{path: '/a', type: 13, version: 3}])
  })
})
