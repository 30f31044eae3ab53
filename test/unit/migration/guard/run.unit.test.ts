import assert from 'node:assert/strict'

import {MigratorError} from '../../../../src/lib/errors.js'
import type {LockNote, SharedLocks} from '../../../../src/lib/metaproxy/shared-lock.js'
import type {MetaproxyStore} from '../../../../src/lib/metaproxy/store.js'
import {freshState} from '../../../../src/lib/migration/context.js'
import type {Effect, Effects} from '../../../../src/lib/migration/effects.js'
import type {UnstampedEvent} from '../../../../src/lib/migration/events.js'
import {GuardChannel} from '../../../../src/lib/migration/guard/channel.js'
import {guardContext, type GuardParts} from '../../../../src/lib/migration/guard/context.js'
import type {GuardEnd} from '../../../../src/lib/migration/guard/guard.js'
import type {GuardPlan} from '../../../../src/lib/migration/guard/plan.js'
import {type GuardWorld, runGuard} from '../../../../src/lib/migration/guard/run.js'
import {Journal} from '../../../../src/lib/migration/journal.js'
import type {MigrationLock} from '../../../../src/lib/migration/lock.js'
import type {MetaproxyLocation} from '../../../../src/lib/migration/request.js'
import {PegasusClient} from '../../../../src/lib/pegasus/client.js'
import {VirtualClock} from '../../../sandbox/virtual-clock.js'
import {MemoryFiles} from '../../../support/memory-files.js'
import {ScriptedMigration} from '../../../support/scripted-migration.js'

const metaproxy: MetaproxyLocation = {hosts: '10.0.0.9:2181', root: '/metaproxy'}
const lift: Effect = {before: null, kind: 'lift-deny'}

/** A machine on which a guard runs; there are no servers: nothing answers a connection. */
class Machine {
  readonly abort = new AbortController()
  readonly clock = new VirtualClock()
  readonly closed: string[] = []
  readonly dialled: string[] = []
  readonly files = new MemoryFiles()
  readonly opened: [string, MetaproxyLocation][] = []
  readonly plan: GuardPlan
  readonly channel = new GuardChannel('/journals', 'users', 'b', this.files)
  holder: () => LockNote | undefined = () => undefined
  readonly wrapped: Effect[] = []

  constructor({node = true} = {}) {
    const {request} = new ScriptedMigration().context
    delete request.metaproxy
    this.plan = {
      driver: {host: 'here', pid: 11, pidSpace: '', started: ''},
      dupid: 7,
      journalDirectory: '/journals',
      lockToken: 'ours',
      request: {
        ...request,
        ...(node ? {metaproxy} : {}),
        sourceMetas: ['10.0.0.1:34601'],
        targetCluster: 'b',
        targetMetas: ['10.0.0.2:34601'],
      },
      timers: {configSyncMs: 30_000, groupCheckMs: 10_000},
    }
  }

  get transport(): GuardWorld['transport'] {
    return {
      connect: async (address) => {
        this.dialled.push(address)
        throw new Error('ECONNREFUSED')
      },
    }
  }

  get client(): PegasusClient {
    return new PegasusClient({clock: this.clock, random: () => 0, transport: this.transport})
  }

  get world(): GuardWorld {
    const open = (what: string, location: MetaproxyLocation) => this.opened.push([what, location])
    const store = {
      close: async () => {
        this.closed.push('store')
      },
      async read() {
        throw new MigratorError('zk.unreachable', 'nothing answers')
      },
    }
    return {
      clock: this.clock,
      files: this.files,
      openLocks: (location) => {
        open('locks', location)
        return {holder: async () => this.holder()} as unknown as SharedLocks
      },
      openStore(location) {
        open('store', location)
        return store as unknown as MetaproxyStore
      },
      pid: 12,
      processes: {isDead: async ({pid}) => pid === 11},
      random: () => 0,
      transport: this.transport,
      wrapEffects: (live) => ({
        perform: async (effect, signal) => {
          this.wrapped.push(effect)
          return live.perform(effect, signal)
        },
      }),
    }
  }

  get journal(): string[] {
    return (this.files.texts.get('/journals/users@b.jsonl') ?? '').split('\n').filter(Boolean)
  }

  run(limitMs?: number): Promise<GuardEnd> {
    return this.clock.run(runGuard(this.plan, this.world, this.abort.signal), limitMs)
  }
}

describe('a guard process', () => {
  it('watches by the files of its plan’s table, writes the same journal, and closes what it opened', async () => {
    const machine = new Machine()
    await machine.channel.beat(1, 'dismissed')
    assert.equal(await machine.run(), 'dismissed')
    assert.deepEqual(machine.opened, [
      ['store', metaproxy],
      ['locks', metaproxy],
    ])
    assert.deepEqual(machine.closed, ['store'])
    assert.deepEqual(machine.dialled, [])
    const records = machine.journal.map((line) => JSON.parse(line) as {kind: string; run: string; state: string})
    assert.deepEqual(
      records.map(({kind, state}) => `${kind} ${state}`),
      ['guard watching', 'guard gone'],
    )
    assert.ok(
      records.every(({run}) => run === 'guard-12'),
      machine.journal.join('\n'),
    )
  })

  it('opens nothing of ZooKeeper where the table has no node', async () => {
    const machine = new Machine({node: false})
    await machine.channel.beat(1, 'dismissed')
    assert.equal(await machine.run(), 'dismissed')
    assert.deepEqual([machine.opened, machine.closed], [[], []])
  })

  it('closes what it opened when it is ended, too', async () => {
    const machine = new Machine()
    await machine.channel.beat(1, 'armed')
    machine.clock.setTimer(2000, () => machine.abort.abort(new Error('SIGTERM')))
    await assert.rejects(machine.run(), /SIGTERM/)
    assert.equal(machine.clock.nowMs(), 2000)
    assert.deepEqual(machine.closed, ['store'])
  })

  it('knows its driver’s lock by the plan’s token', async () => {
    for (const token of ['ours', 'theirs']) {
      const machine = new Machine()
      machine.holder = () => ({command: 'x', host: 'h', pid: 1, pidSpace: '', sinceMs: 1, started: '', token})
      await machine.channel.beat(1, 'armed')
      machine.clock.setTimer(30_000, () => machine.abort.abort(new Error('enough')))
      await assert.rejects(machine.run(), /enough/)
      const yielded = machine.journal.some((line) => line.includes('"yielding"'))
      assert.equal(yielded, token === 'theirs')
    }
  })

  it('acts on the clusters of its plan', async () => {
    const machine = new Machine({node: false})
    await machine.channel.beat(1, 'armed')
    machine.clock.setTimer(30_000, () => machine.abort.abort(new Error('enough')))
    await assert.rejects(machine.run(), /enough/)
    assert.ok(machine.dialled.includes('10.0.0.1:34601'), machine.dialled.join(' '))
    assert.ok(machine.wrapped.length > 0, 'its effects go by what wraps them')
  })
})

describe('the context of a guard', () => {
  const asked: string[] = []
  const events: UnstampedEvent[] = []
  const lock = {
    async check() {
      asked.push('check')
    },
    async regain() {
      asked.push('regain')
    },
  } as unknown as MigrationLock
  let machine: Machine
  let parts: GuardParts

  beforeEach(async () => {
    asked.length = 0
    events.length = 0
    machine = new Machine()
    const {clock, files} = machine
    const earlier = await Journal.open('/journals', 'users', 'b', clock, 'driver', files)
    await earlier.write({dupid: 7, kind: 'duplication'} as never)
    await earlier.close()
    parts = {
      client: machine.client,
      emit: (event) => events.push(event),
      journal: await Journal.open('/journals', 'users', 'b', clock, 'guard', files),
      lock,
      signal: machine.abort.signal,
      store: undefined,
    }
  })

  it('is the driver’s as the plan and the journal tell it', async () => {
    const context = guardContext(machine.plan, parts)
    const {dupid, request, timers} = machine.plan
    assert.deepEqual(context.state, {...freshState(), dupid, timers})
    assert.equal(context.hints.dupid, 7)
    assert.equal(context.request, request)
    assert.deepEqual([context.source.metas, context.target.metas], [request.sourceMetas, request.targetMetas])
    assert.equal(context.dryRun, false)
    assert.equal(context.signal, context.forward)
    assert.equal(await context.askMoved(machine.abort.signal), 'abort')
  })

  it('journals each effect and asks for the lock before it, and carries it out as it is wrapped', async () => {
    const performed: Effect[] = []
    const wrapEffects = (): Effects => ({
      async perform(effect) {
        performed.push(effect)
        return {}
      },
    })
    const {effects} = guardContext(machine.plan, {...parts, wrapEffects})
    await effects.perform(lift, machine.abort.signal)
    assert.deepEqual(performed, [lift])
    assert.deepEqual(asked, ['regain'])
    assert.deepEqual(
      machine.journal.slice(1).map((line) => (JSON.parse(line) as {kind: string}).kind),
      ['before', 'after'],
    )
    assert.deepEqual(
      events.map((event) => event.type === 'effect' && event.state),
      ['begin', 'done'],
    )
  })

  it('carries it out on the source itself, where nothing is wrapped', async () => {
    const {effects} = guardContext(machine.plan, parts)
    await assert.rejects(machine.clock.run(effects.perform(lift, machine.abort.signal)), MigratorError)
    assert.deepEqual([...new Set(machine.dialled)], ['10.0.0.1:34601'])
  })
})
