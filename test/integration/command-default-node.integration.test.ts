import assert from 'node:assert/strict'
import {systemClock} from '../../src/lib/clock.js'
import {isMigratorError} from '../../src/lib/errors.js'
import {ExitCode} from '../../src/lib/exit-codes.js'
import {defaultLimits, type MigrationRequest} from '../../src/lib/migration/index.js'
import {withZooKeeperHosts} from '../../src/lib/ui/zookeeper-hosts.js'
import {type Sandbox, seededRandom, startSandbox} from '../sandbox/index.js'

describe('the ZooKeeper of metaproxy without --node', () => {
  let sandbox: Sandbox
  before(async () => {
    const overrides = {source: {zookeeperHosts: 'zk-of-source:2181'}}
    sandbox = await startSandbox({
      clock: systemClock,
      listen: 'tcp',
      overrides,
      profile: '2.5',
      random: seededRandom(1),
    })
  })
  after(() => sandbox.stop())

  const ask = (hosts: string, sourceMetas = sandbox.source.metas) => {
    const request: MigrationRequest = {
      accepted: [],
      afterDrain: 'ask',
      denyMode: 'timeout',
      limits: defaultLimits,
      maxWriteDenyMs: 120_000,
      metaproxy: {hosts, root: '/pegasus-metaproxy'},
      proxies: [],
      sourceMetas,
      table: 'users',
      targetCluster: 'onebox2',
      targetMetas: sandbox.target.metas,
      thresholdMutations: 10_000,
      verify: 'sample',
      verifySampleRows: 10,
    }
    const world = {clock: systemClock, journalDirectory: '', random: Math.random, transport: sandbox.transport}
    return withZooKeeperHosts(request, world, AbortSignal.timeout(15_000))
  }

  it('is that of the source cluster', async () => {
    assert.equal((await ask('')).metaproxy?.hosts, 'zk-of-source:2181')
    assert.equal((await ask('zk:1')).metaproxy?.hosts, 'zk:1')
  })

  it('is asked for when the source does not answer', async () => {
    await assert.rejects(ask('', ['127.0.0.1:1']), (error) => {
      assert.ok(isMigratorError(error, 'metaproxy.no_zookeeper'))
      assert.equal(error.exitCode, ExitCode.refused)
      assert.match(error.next!, /--node/)
      return true
    })
  })
})
