import assert from 'node:assert/strict'

import {scaledClock, sleep} from '../../src/lib/clock.js'
import {metaCalls, serverCalls} from '../../src/lib/rpc/calls.js'
import {MetaFunctionLevel, NegotiationStatus, NodeStatus} from '../../src/lib/rpc/structs/cluster.js'
import {startSandbox} from '../sandbox/index.js'
import {DENY_ENV} from '../sandbox/replica/deny.js'
import {onBed, smallTable} from '../sandbox/test-bed.js'
import {TestClient} from '../sandbox/test-client.js'

describe('sandbox: failures', function () {
  this.timeout(60_000)

  it(
    'a dead meta leader leaves the cluster without one for 38 to 42 s; all refuse from 6 s on until 3 to 10 s after (measured.md §10)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      const {source} = sandbox
      await client.meta(source, metaCalls.controlMeta, {level: MetaFunctionLevel.fl_lively})
      const startMs = clock.nowMs()
      const old = await source.killMetaLeader()
      const other = source.metas.find((m) => m !== old)!
      const hint = await client.meta(source, metaCalls.queryConfig, {appName: 't', partitionIndices: []}, other)
      assert.equal(hint.err, 'ERR_FORWARD_TO_OTHERS')
      assert.equal(hint.partitions[0]!.primary, old)
      const outcome = () => client.outcome(client.put(source, 't', 'row1', 'x'))
      const refusedMs = await client.until(async () => (await outcome()) === 'ERR_INVALID_STATE', 10_000, 'refusing')
      assert.ok(refusedMs > 5700 && refusedMs < 6900, String(refusedMs))
      const info = async () => (await client.meta(source, metaCalls.clusterInfo, {}, other)).err
      await client.until(async () => (await info()) === 'ERR_OK', 50_000, 'a new leader')
      const takeoverMs = clock.nowMs() - startMs
      assert.ok(takeoverMs >= 37_900 && takeoverMs <= 42_100, String(takeoverMs))
      const level = await client.meta(source, metaCalls.controlMeta, {level: MetaFunctionLevel.fl_invalid}, other)
      assert.equal(level.oldLevel, MetaFunctionLevel.fl_steady)
      const servedMs = await client.until(async () => (await outcome()) === 'OK', 20_000, 'serving')
      assert.ok(servedMs > 2800 && servedMs < 10_200, String(servedMs))
    }),
  )

  it(
    'the probe tells a deny from a lost meta only on a duplicating table (measured.md E3)',
    onBed({}, async (bed) => {
      const {client, clock, sandbox} = bed
      const {source} = sandbox
      for (const name of ['open', 'denied', 'plain'])
        await source.createTable(name, {partitionCount: 1, replicaCount: 3})
      for (const name of ['open', 'denied']) await client.add(name, false)
      await client.setEnv(source, 'denied', DENY_ENV, 'reconfig*write')
      await sleep(clock, 31_000)
      const row = async (name: string) => {
        const [membership] = source.table(name).memberships
        const secondary = membership!.secondaries[0]
        return Promise.all([
          client.outcome(client.checkAndSet(source, name, 'key')),
          client.outcome(client.put(source, name, 'key', 'x')),
          client.outcome(client.get(source, name, 'key')),
          client.outcome(client.checkAndSet(source, name, 'key', secondary)),
          client.outcome(client.put(source, name, 'key', 'x', secondary)),
        ])
      }

      const [bad, disabled] = ['ERR_INVALID_STATE', 'ERR_OPERATION_DISABLED']
      assert.deepEqual(await row('open'), [disabled, 'OK', 'OK', disabled, bad])
      assert.deepEqual(await row('denied'), [bad, bad, 'OK/1', bad, bad])
      assert.deepEqual(await row('plain'), ['OK/13', 'OK', 'OK', bad, bad])
      await source.killMeta(0)
      await source.killMeta(1)
      await sleep(clock, 8000)
      assert.deepEqual(await row('open'), [disabled, bad, bad, disabled, bad])
      assert.deepEqual(await row('denied'), [bad, bad, bad, bad, bad])
      assert.deepEqual(await row('plain'), [bad, bad, bad, bad, bad])
    }),
  )

  it(
    'a dead replica server is replaced after 9 s and listed unalive after 21 s; nothing acknowledged is lost (measured.md §10)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      const {source} = sandbox
      const key = client.keyIn(source, 't', 0)
      await client.put(source, 't', key, 'acknowledged')
      const victim = source.primaryOf('t', 0)!
      const {ballot} = source.table('t').memberships[0]!
      await source.killServer(victim)
      const replaced = () => source.primaryOf('t', 0) !== victim
      const replacedMs = await client.until(replaced, 15_000, 'replaced')
      assert.ok(replacedMs > 8500 && replacedMs < 8800, String(replacedMs))
      assert.ok(source.table('t').memberships[0]!.ballot > ballot)
      assert.equal((await client.get(source, 't', key)).value.toString(), 'acknowledged')
      const unalive = async () => {
        const {infos} = await client.meta(source, metaCalls.listNodes, {status: NodeStatus.NS_UNALIVE})
        return infos.some((info) => info.node === victim)
      }

      const unaliveMs = replacedMs + (await client.until(unalive, 30_000, 'unalive'))
      assert.ok(unaliveMs > 20_900 && unaliveMs < 21_200, String(unaliveMs))
      await source.startServer(victim)
      const whole = () => source.table('t').memberships.every((m) => m.secondaries.length === 2)
      const wholeMs = await client.until(whole, 15_000, 'whole')
      assert.ok(wholeMs > 5400 && wholeMs < 7600, String(wholeMs))
      assert.equal(await unalive(), false)
      await sleep(clock, 1)
    }),
  )

  it(
    'a mutation that was prepared when its primary died is committed by the next one, and was never acknowledged',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      const {source} = sandbox
      const key = client.keyIn(source, 't', 0)
      const primary = source.primaryOf('t', 0)!
      source.setPrepareDelay(primary, 2000)
      const writing = client.outcome(client.put(source, 't', key, 'prepared'))
      await sleep(clock, 500)
      const [partition] = source.table('t').partitions
      assert.equal(partition!.prepared, partition!.committed + 1)
      await source.killServer(primary)
      assert.equal(await writing, 'ERR_NETWORK_FAILURE')
      await sleep(clock, 9000)
      assert.equal((await client.get(source, 't', key)).value.toString(), 'prepared')
    }),
  )

  it(
    'HTTP of a 2.5 follower answers from an empty state, and /meta/cluster kills it (measured.md §0)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, sandbox} = bed
      const {source} = sandbox
      const follower = source.metaServers.find((m) => !m.leads)!
      assert.match((await client.http(source.leader!.address, '/meta/apps')).body, /"total_app_count":"1"/)
      assert.match((await client.http(follower.address, '/meta/apps')).body, /"total_app_count":"0"/)
      assert.deepEqual(await client.http(follower.address, '/meta/cluster'), {body: '', status: 0})
      assert.equal(follower.alive, false)
      assert.equal(source.leader!.alive, true)
    }),
  )

  it(
    'HTTP of a follower of master is redirected (measured-master.md §8)',
    onBed({profile: 'master'}, async ({client, sandbox}) => {
      const follower = sandbox.source.metaServers.find((m) => !m.leads)!
      assert.equal((await client.http(follower.address, '/meta/cluster')).status, 307)
      assert.equal(follower.alive, true)
    }),
  )

  it(
    'mandatory Kerberos closes connections without a word, but lists its mechanism (protocol.md §1.7)',
    onBed({overrides: {source: {mandatoryAuth: true}}}, async ({client, sandbox}) => {
      await assert.rejects(client.meta(sandbox.source, metaCalls.clusterInfo, {}), {message: 'ERR_NETWORK_FAILURE'})
      const request = {msg: Buffer.alloc(0), status: NegotiationStatus.SASL_LIST_MECHANISMS}
      const answer = await client.meta(sandbox.source, serverCalls.negotiation, request)
      assert.equal(answer.status, NegotiationStatus.SASL_LIST_MECHANISMS_RESP)
      assert.equal(answer.msg.toString(), 'GSSAPI')
    }),
  )

  it(
    'faults of single calls: lost before or after their effect, late, refused, cut',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      const {source} = sandbox
      const call = 'RPC_CM_UPDATE_APP_ENV'
      const envs = () => Object.fromEntries(source.table('t').info.envs)
      const set = (value: string) =>
        client.outcome(client.setEnv(source, 't', 'business.info', value) as Promise<object>)
      source.ignoreCalls(call)
      assert.equal(await set('a'), 'ERR_TIMEOUT')
      assert.deepEqual(envs(), {})
      source.loseAnswer(call)
      assert.equal(await set('b'), 'ERR_TIMEOUT')
      assert.deepEqual(envs(), {'business.info': 'b'})
      source.closeAfter(call)
      assert.equal(await set('c'), 'ERR_NETWORK_FAILURE')
      assert.deepEqual(envs(), {'business.info': 'c'})
      source.failCall(call, 'ERR_BUSY')
      assert.equal(await set('d'), 'ERR_BUSY')
      assert.deepEqual(envs(), {'business.info': 'c'})
      source.delayReplies(call, 1500)
      const startMs = clock.nowMs()
      assert.equal(await set('e'), 'OK')
      assert.ok(clock.nowMs() - startMs >= 1500)
      assert.equal(await set('f'), 'OK')
      source.setSilent(source.leader!.address, true)
      assert.equal(await set('g'), 'ERR_TIMEOUT')
    }),
  )

  it('over TCP on a scaled clock: a table is made by its metas, written, denied and duplicated', async () => {
    const clock = scaledClock(60)
    const sandbox = await startSandbox({clock, listen: 'tcp', profile: '2.5'})
    const client = new TestClient(sandbox, clock)
    try {
      const {source, target} = sandbox
      const options = {
        appType: 'pegasus',
        envs: new Map(),
        isStateful: true,
        partitionCount: 4,
        replicaCount: 3,
        successIfExist: false,
      }
      assert.equal((await client.meta(source, metaCalls.createApp, {appName: 't', options})).err, 'ERR_OK')
      const ready = () => source.table('t').memberships.every((m) => m.secondaries.length === 2)
      await client.until(ready, 60_000, 'created', 500)
      for (let i = 0; i < 50; i++) await client.put(source, 't', `row${i}`, `value ${i}`)
      await client.duplicate('t')
      await client.put(source, 't', 'row1', 'newest')
      await client.until(() => client.valueOf(target, 't', 'row1') === 'newest', 60_000, 'shipped', 500)
      assert.equal(target.rows('t').size, 50)
      await client.setEnv(source, 't', DENY_ENV, 'reconfig*write')
      const denied = async () => (await client.outcome(client.put(source, 't', 'row1', 'x'))) === 'ERR_INVALID_STATE'
      await client.until(denied, 40_000, 'denied', 500)
    } finally {
      client.close()
      await sandbox.stop()
    }
  })

  it('loads and scans 50,000 rows quickly', async () => {
    await onBed({}, async (bed) => {
      const startMs = performance.now()
      await smallTable(bed, 't', 50_000)
      assert.equal(bed.sandbox.source.rows('t').size, 50_000)
      assert.ok(performance.now() - startMs < 5000)
    })()
  })
})
