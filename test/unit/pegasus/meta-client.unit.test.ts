import assert from 'node:assert/strict'

import {type MetaCallOptions, MetaClient, metaErrorName} from '../../../src/lib/pegasus/meta-client.js'
import {metaCalls, serverCalls} from '../../../src/lib/rpc/calls.js'
import {NegotiationStatus} from '../../../src/lib/rpc/structs/cluster.js'
import {FakeCluster} from '../../support/fake-cluster.js'
import {FakeServer} from '../../support/fake-server.js'

const ADD = metaCalls.addDuplication
const INFO = metaCalls.clusterInfo
const CONFIG = metaCalls.queryConfig

/** How a meta answers everything it is asked. */
type Mood = 'cut' | 'follower' | 'leader' | 'not-active' | 'silent'

class FakeMeta extends FakeServer {
  address = ''
  /** Names the leader in answers to config queries. */
  hint: string | undefined
  mood: Mood = 'leader'

  constructor() {
    super()
    this.on(CONFIG, (call) => {
      const partition = {
        ballot: 1,
        lastCommittedDecree: 0,
        lastDrops: [],
        maxReplicaCount: 3,
        pid: {appId: 0, partitionIndex: 0},
        primary: this.hint ?? null,
        secondaries: [],
      }
      const err = this.errors()
      const partitions = err === 'ERR_FORWARD_TO_OTHERS' && this.hint ? [partition] : []
      this.respond(call, {
        appId: 0,
        err: err ?? 'ERR_OBJECT_NOT_FOUND',
        isStateful: true,
        partitionCount: 0,
        partitions,
      })
    })
    this.on(INFO, (call) =>
      this.respond(call, {err: this.errors() ?? 'ERR_OK', keys: ['cluster_name'], values: ['onebox']}),
    )
    this.on(ADD, (call) => {
      this.respond(call, {appId: 2, dupid: 7, err: this.errors() ?? 'ERR_OK'})
    })
  }

  count(name: string): number {
    return this.received.filter((received) => received === name).length
  }

  private respond<S>(call: {cut(): void; reply(value: S): void}, value: S): void {
    if (this.mood === 'cut') call.cut()
    else if (this.mood !== 'silent') call.reply(value)
  }

  private errors(): string | undefined {
    return {
      cut: undefined,
      follower: 'ERR_FORWARD_TO_OTHERS',
      leader: undefined,
      'not-active': 'ERR_SERVICE_NOT_ACTIVE',
      silent: undefined,
    }[this.mood]
  }
}

async function bed(...moods: Mood[]) {
  const cluster = new FakeCluster()
  const metas: FakeMeta[] = []
  for (const mood of moods) {
    const meta = new FakeMeta()
    meta.mood = mood
    meta.address = (await cluster.listen(meta)).address
    metas.push(meta)
  }

  const client = new MetaClient(
    cluster.client.env,
    cluster.client.pool,
    metas.map(({address}) => address),
  )
  const options = (o: Partial<MetaCallOptions>): MetaCallOptions => ({idempotent: true, ...o})
  return {
    add: (o: Partial<MetaCallOptions> = {}) =>
      client.call(ADD, {appName: 't', remoteClusterName: 'onebox2'}, options({idempotent: false, ...o})),
    client,
    clock: cluster.clock,
    cluster,
    info: (o: Partial<MetaCallOptions> = {}) => client.call(INFO, {}, options(o)),
    metas,
    run: <T>(promise: Promise<T>) => cluster.clock.run(promise),
  }
}

describe('MetaClient', () => {
  it('finds the leader and stays with it', async () => {
    const {info, metas, run} = await bed('follower', 'leader', 'follower')
    await run(info())
    const asked = metas.map((meta) => meta.count(CONFIG.name))
    await run(info())
    assert.deepEqual(
      metas.map((meta) => meta.count(INFO.name)),
      [0, 2, 0],
    )
    assert.deepEqual(
      metas.map((meta) => meta.count(CONFIG.name)),
      asked,
    )
  })

  it('follows the hint to a leader that was not named', async () => {
    const {cluster, info, metas, run} = await bed('follower')
    const leader = new FakeMeta()
    const {address} = await cluster.listen(leader)
    metas[0]!.hint = address
    await run(info())
    assert.equal(leader.count(INFO.name), 1)
    assert.equal(metas[0]!.count(INFO.name), 0)
  })

  it('does not trust a hint to a dead leader, and waits for the next', async () => {
    const {clock, cluster, info, metas, run} = await bed('leader', 'follower')
    metas[1]!.hint = metas[0]!.address
    await run(info())
    await cluster.kill(metas[0]!.address)
    clock.setTimer(38_000, () => {
      metas[1]!.mood = 'leader'
    })
    await run(info({patienceMs: 60_000}))
    assert.ok(clock.nowMs() >= 38_000 && clock.nowMs() < 39_500, `${clock.nowMs()}`)
    assert.equal(metas[1]!.count(INFO.name), 1)
  })

  it('asks an old leader that has become a follower only once more', async () => {
    const {info, metas, run} = await bed('leader', 'follower')
    await run(info())
    metas[0]!.mood = 'follower'
    metas[1]!.mood = 'leader'
    await run(info())
    assert.deepEqual(
      metas.map((meta) => meta.count(INFO.name)),
      [2, 1],
    )
  })

  it('sends a call with effect to the next leader when the first says that it is none any more', async () => {
    const {add, metas, run} = await bed('leader', 'follower')
    metas[0]!.on(ADD, (call) => {
      metas[0]!.mood = 'follower'
      metas[1]!.mood = 'leader'
      call.reply({appId: 0, dupid: 0, err: 'ERR_FORWARD_TO_OTHERS'})
    })
    assert.equal((await run(add())).dupid, 7)
    assert.deepEqual(
      metas.map((meta) => meta.count(ADD.name)),
      [1, 1],
    )
  })

  it('asks who leads before a call with effect, so that a stale connection costs nothing', async () => {
    const {add, cluster, info, metas, run} = await bed('leader')
    await run(info())
    await cluster.kill(metas[0]!.address)
    await cluster.restart(metas[0]!.address)
    assert.equal((await run(add())).dupid, 7)
    assert.equal(metas[0]!.count(ADD.name), 1)
  })

  it('waits a second for a leader that is not active yet', async () => {
    const {clock, info, metas, run} = await bed('not-active', 'follower')
    clock.setTimer(2500, () => {
      metas[0]!.mood = 'leader'
    })
    await run(info())
    assert.equal(clock.nowMs(), 3000)
    assert.equal(metas[0]!.count(CONFIG.name), 4)
  })

  it('waits for one that was active and is not now, also with a call that has effect', async () => {
    const {add, clock, metas, run} = await bed('leader')
    metas[0]!.on(ADD, (call) => {
      const first = metas[0]!.count(ADD.name) === 1
      if (first) {
        metas[0]!.mood = 'not-active'
        clock.setTimer(1500, () => {
          metas[0]!.mood = 'leader'
        })
      }

      call.reply({appId: 2, dupid: first ? 0 : 7, err: first ? 'ERR_SERVICE_NOT_ACTIVE' : 'ERR_OK'})
    })
    assert.equal((await run(add())).dupid, 7)
    assert.equal(metas[0]!.count(ADD.name), 2)
    assert.equal(clock.nowMs(), 2000)
  })

  it('tells a feature that is switched off from a leader that is not active', async () => {
    const {add, clock, metas, run} = await bed('leader')
    metas[0]!.always(ADD, {appId: 0, dupid: 0, err: 'ERR_SERVICE_NOT_ACTIVE', hint: 'duplication is not enabled'})
    const facts = {
      call: ADD.name,
      dupid: 0,
      err: 'ERR_SERVICE_NOT_ACTIVE',
      hint: 'duplication is not enabled',
      meta: metas[0]!.address,
    }
    await assert.rejects(run(add({patienceMs: 60_000})), {code: 'meta.error', facts})
    assert.equal(metas[0]!.count(ADD.name), 2)
    assert.ok(clock.nowMs() < 2000)
  })

  it('passes on what the leader says', async () => {
    const {add, metas, run} = await bed('leader')
    metas[0]!.always(ADD, {appId: 0, dupid: 0, err: 'ERR_APP_NOT_EXIST', hint: 'no\u0000such\ntable'})
    await assert.rejects(run(add()), (error: Error & {retrySafe: boolean}) => {
      assert.equal(metaErrorName(error), 'ERR_APP_NOT_EXIST')
      assert.equal(
        error.message,
        `${metas[0]!.address} answered ERR_APP_NOT_EXIST to RPC_CM_ADD_DUPLICATION: no such table`,
      )
      assert.equal(error.retrySafe, false)
      return true
    })
    metas[0]!.always(ADD, {appId: 0, dupid: 0, err: 'ERR_BUSY'})
    await assert.rejects(run(add()), {code: 'meta.error', retrySafe: true})
    assert.equal(metaErrorName(new Error('x')), undefined)
  })

  it('never sends a call with effect again after its answer was lost', async () => {
    for (const mood of ['cut', 'silent'] as const) {
      const {add, metas, run} = await bed('leader', 'follower')
      metas[0]!.on(ADD, (call) => {
        metas[0]!.mood = mood
        metas[1]!.mood = 'leader'
        if (mood === 'cut') call.cut()
      })
      const code = mood === 'cut' ? 'rpc.connection_lost' : 'rpc.timeout'
      await assert.rejects(run(add({patienceMs: 60_000})), {code, retrySafe: false})
      assert.deepEqual(
        metas.map((meta) => meta.count(ADD.name)),
        [1, 0],
      )
    }
  })

  it('sends a call with effect to the next leader when the first cannot be reached', async () => {
    const {add, clock, cluster, info, metas, run} = await bed('leader', 'follower')
    await run(info())
    await cluster.kill(metas[0]!.address)
    await clock.advance(0)
    metas[1]!.mood = 'leader'
    assert.equal((await run(add())).dupid, 7)
    assert.deepEqual(
      metas.map((meta) => meta.count(ADD.name)),
      [0, 1],
    )
  })

  it('repeats a call without effect after its answer was lost', async () => {
    const {info, metas, run} = await bed('leader')
    await run(info())
    metas[0]!.on(INFO, (call) => {
      if (metas[0]!.count(INFO.name) === 2) call.cut()
      else call.reply({err: 'ERR_OK', keys: [], values: []})
    })
    await run(info())
    assert.equal(metas[0]!.count(INFO.name), 3)
  })

  it('goes round a leader that is silent, within the default time', async () => {
    const {clock, info, metas, run} = await bed('leader', 'follower', 'follower')
    await run(info())
    metas[0]!.mood = 'silent'
    metas[2]!.mood = 'leader'
    await run(info())
    assert.deepEqual(
      metas.map((meta) => meta.count(INFO.name)),
      [2, 0, 1],
    )
    assert.ok(clock.nowMs() <= 6000, `${clock.nowMs()}`)
  })

  it('finds the leader although another meta hangs and a third machine is gone', async () => {
    const {client, clock, cluster, metas, run} = await bed('silent', 'leader', 'leader')
    cluster.unreachable.add(metas[2]!.address)
    assert.equal(await run(client.leader()), metas[1]!.address)
    assert.equal(clock.nowMs(), 0)
  })

  it('says what each meta said when there is no leader in time', async () => {
    const {clock, cluster, info, metas, run} = await bed('follower', 'silent', 'follower')
    await cluster.kill(metas[2]!.address)
    await assert.rejects(
      run(info()),
      (error: Error & {code: string; facts: Record<string, unknown>; retrySafe: boolean}) => {
        assert.equal(error.code, 'meta.no_leader')
        assert.equal(error.retrySafe, true)
        assert.match(error.message, new RegExp(`no meta leader for ${INFO.name} within 10\\d\\d\\d ms`))
        assert.match(error.message, new RegExp(`${metas[0]!.address}: ERR_FORWARD_TO_OTHERS`))
        assert.match(error.message, new RegExp(`${metas[1]!.address}: .*did not answer`))
        assert.match(error.message, new RegExp(`${metas[2]!.address}: no connection`))
        return true
      },
    )
    assert.ok(clock.nowMs() < 12_500, `${clock.nowMs()}`)
  })

  it('leader() asks anew each time', async () => {
    const {client, metas, run} = await bed('leader', 'follower')
    assert.equal(await run(client.leader()), metas[0]!.address)
    metas[0]!.mood = 'follower'
    metas[1]!.mood = 'leader'
    assert.equal(await run(client.leader()), metas[1]!.address)
    metas[1]!.mood = 'follower'
    await assert.rejects(run(client.leader({patienceMs: 1000})), {code: 'meta.no_leader'})
  })

  it('ends with its caller, wherever it waits', async () => {
    for (const mood of ['follower', 'not-active', 'silent'] as const) {
      const {clock, info, run} = await bed(mood)
      const controller = new AbortController()
      clock.setTimer(1234, () => controller.abort(new Error('Ctrl-C')))
      await assert.rejects(run(info({patienceMs: 60_000, signal: controller.signal})), {code: 'rpc.aborted'})
      assert.equal(clock.nowMs(), 1234)
      await assert.rejects(run(info({signal: controller.signal})), {code: 'rpc.aborted'})
    }
  })

  it('ends when its client is closed, however much patience is left', async () => {
    for (const mood of ['follower', 'silent', 'leader'] as const) {
      const {clock, cluster, info, metas, run} = await bed(mood)
      metas[0]!.on(INFO, () => {})
      const call = info({patienceMs: 600_000, timeoutMs: 600_000})
      await clock.advance(100)
      const failed = assert.rejects(call, {code: 'rpc.aborted'})
      await run(cluster.client.close())
      await run(failed)
      assert.ok(clock.nowMs() < 2000)
    }
  })

  it('names Kerberos as the reason, at once', async () => {
    const {clock, info, metas, run} = await bed('cut', 'cut')
    for (const meta of metas) {
      meta.always(serverCalls.negotiation, {
        msg: Buffer.from('GSSAPI'),
        status: NegotiationStatus.SASL_LIST_MECHANISMS_RESP,
      })
    }

    await assert.rejects(run(info({patienceMs: 60_000})), {code: 'rpc.unauthenticated'})
    assert.equal(clock.nowMs(), 0)
  })

  it('passes on that a call does not exist', async () => {
    const {client, metas, run} = await bed('leader')
    const call = client.call(metaCalls.listDuplication, {appNamePattern: 't', matchType: 2}, {idempotent: true})
    await assert.rejects(run(call), {
      code: 'rpc.server_error',
      facts: {address: metas[0]!.address, call: 'RPC_CM_LIST_DUPLICATION', error: 'ERR_HANDLER_NOT_FOUND'},
    })
  })

  it('needs a meta', () => {
    const cluster = new FakeCluster()
    assert.throws(() => cluster.client.cluster([]), TypeError)
  })
})
