import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {
  lookAtOwnNode,
  NodeWatch,
  perhapsOverwritten,
  wasDrainedBeforeSwitch,
} from '../../../src/lib/migration/node-watch.js'
import {ScriptedMigration} from '../../support/scripted-migration.js'

const NEXT_AFTER_MOVE = 'Find out who did. Writes are allowed on the source; the same command goes on from there.'
const iso = (ms: number) => new Date(ms).toISOString()

describe('a look at the own node', () => {
  let migration: ScriptedMigration

  beforeEach(() => {
    migration = new ScriptedMigration()
    migration.state.nodeVersion = 4
  })

  const look = () => migration.run(lookAtOwnNode(migration.context, migration.abort.signal))
  const failing = (error: Error) => migration.failing('node users', Number.POSITIVE_INFINITY, error)

  it('takes down when it was asked, not when it was answered', async () => {
    const askedAtMs = migration.clock.wallMs()
    migration.onAsk = () => wait(migration, 500)
    await look()
    assert.equal(migration.clock.wallMs(), askedAtMs + 500)
    assert.equal(migration.state.nodeOursAtMs, askedAtMs)
  })

  it('is none without a store, or before the node was read', async () => {
    await lookAtOwnNode({...migration.context, store: undefined}, migration.abort.signal)
    migration.state.nodeVersion = undefined
    await look()
    assert.deepEqual(migration.asked, [])
  })

  it('says nothing of a node that is gone once it was switched', async () => {
    migration.state.commit = 'done'
    failing(new MigratorError('zk.no_node', 'there is none'))
    await look()
  })

  it('knows the target by its metas, whatever it is called there', async () => {
    const data = {
      clusterName: 'its-other-name',
      metaAddresses: ['10.0.9.9:1', ...migration.context.request.targetMetas],
    }
    migration.node = {...migration.node, data, version: 5}
    await assert.rejects(look(), {code: 'switch.by_others'})
  })

  it('says nothing while ZooKeeper does not answer, and asks no longer than 2 s', async () => {
    failing(new MigratorError('zk.unreachable', 'nobody listens'))
    await look()
    migration.onAsk = () => wait(migration, 60_000)
    const startMs = migration.clock.nowMs()
    await look()
    assert.equal(migration.clock.nowMs() - startMs, 2000)
    assert.equal(migration.state.nodeOursAtMs, undefined)
  })

  it('hears an answer just within 2 s', async () => {
    migration.onAsk = () => wait(migration, 1999)
    await look()
    assert.notEqual(migration.state.nodeOursAtMs, undefined)
  })

  it('ends as the caller ends, whatever ZooKeeper says meanwhile', async () => {
    const reason = new MigratorError('ui.signal', 'stopped')
    migration.onAsk = () => {
      migration.abort.abort(reason)
      throw new MigratorError('zk.no_node', 'there is none')
    }

    await assert.rejects(look(), reason)
  })

  it('tells that the node is gone, or names nobody, in the words of whoever read it', async () => {
    for (const code of ['zk.no_node', 'metaproxy.bad_node']) {
      migration.onAsk = () => {
        throw new MigratorError(code, 'it is no node')
      }

      await assert.rejects(look(), {
        code: 'switch.node_moved',
        message: 'somebody else wrote the node of users while it was being cut over: it is no node',
        next: NEXT_AFTER_MOVE,
      })
    }
  })

  it('throws what is no trouble of ZooKeeper', async () => {
    const error = new TypeError('a fault of ours')
    failing(error)
    await assert.rejects(look(), error)
  })

  it('knows who the node was switched to', async () => {
    migration.writeNode('b')
    await assert.rejects(look(), {
      code: 'switch.by_others',
      facts: {path: '/pegasus-metaproxy/users', versionBefore: 4},
      message: 'somebody else switched /pegasus-metaproxy/users to b while users was being cut over',
    })
    migration.writeNode('c')
    await assert.rejects(look(), {
      code: 'switch.node_moved',
      message:
        'somebody else wrote the node of users while it was being cut over: version 6 instead of 4, and it names c',
      next: NEXT_AFTER_MOVE,
    })
    assert.equal(migration.state.nodeOursAtMs, undefined)
  })

  it('says nothing any more once the own switch was sent', async () => {
    for (const commit of ['uncertain', 'done'] as const) {
      migration.state.commit = commit
      await look()
      migration.writeNode('b')
      await look()
    }

    assert.equal(migration.state.nodeOursAtMs, undefined)
  })
})

describe('the watch over the own node', () => {
  let heard: MigratorError[]
  let migration: ScriptedMigration
  let watch: NodeWatch

  beforeEach(() => {
    migration = new ScriptedMigration()
    migration.state.nodeVersion = 4
    heard = []
    watch = watchOf(migration.context)
  })

  const watchOf = (context: ScriptedMigration['context']) => new NodeWatch(context, (error) => heard.push(error))

  it('looks each second until it is ended', async () => {
    watch.begin()
    await migration.clock.advance(2999)
    assert.equal(migration.asked.length, 3)
    watch.end()
    migration.writeNode('c')
    await migration.clock.advance(10_000)
    assert.equal(migration.asked.length, 3)
    assert.deepEqual(heard, [])
  })

  it('is none in a dry run, or without a node', async () => {
    watchOf({...migration.context, dryRun: true}).begin()
    watchOf({...migration.context, store: undefined}).begin()
    await migration.clock.advance(5000)
    assert.deepEqual(migration.asked, [])
    assert.deepEqual(heard, [])
  })

  it('tells once that somebody wrote the node', async () => {
    watch.begin()
    await migration.clock.advance(1500)
    migration.writeNode('b')
    await migration.clock.advance(10_000)
    assert.deepEqual(
      heard.map(({code}) => code),
      ['switch.by_others'],
    )
    assert.equal(migration.asked.length, 3)
  })

  it('tells of what it cannot explain as of a node that was moved', async () => {
    migration.onAsk = () => {
      throw new TypeError('a fault of ours')
    }

    watch.begin()
    await migration.clock.advance(10)
    assert.deepEqual(
      heard.map(({code, message}) => [code, message]),
      [['switch.node_moved', 'a fault of ours']],
    )
  })

  it('tells nothing of a look that its end has broken off', async () => {
    migration.onAsk = () => wait(migration, 60_000)
    watch.begin()
    await migration.clock.advance(500)
    watch.end()
    await migration.clock.advance(60_000)
    assert.deepEqual(heard, [])
  })
})

describe('a switch by somebody else', () => {
  it('came after everything had arrived only where the node was ours after that', () => {
    const {context, state} = new ScriptedMigration()
    const drained = (nodeOursAtMs?: number, drainedAtMs?: number, switchSent?: boolean) => {
      Object.assign(state, {nodeOursAtMs, switchSent})
      state.window = {drainedAtMs}
      return wasDrainedBeforeSwitch(context)
    }

    assert.deepEqual([drained(999, 1000), drained(1000, 1000), drained(1001, 1000)], [false, true, true])
    assert.deepEqual([drained(undefined, 1000), drained(1000), drained()], [false, false, false])
    assert.equal(drained(undefined, undefined, true), true)
  })

  it('is told with the times between which rows may be older', () => {
    const {context, state} = new ScriptedMigration()
    const [setAtMs, drainedAtMs, nodeOursAtMs] = [1_767_225_600_000, 1_767_225_630_000, 1_767_225_620_000]
    state.window = {drainedAtMs, setAtMs}
    state.nodeOursAtMs = nodeOursAtMs
    const {code, facts, message, next} = perhapsOverwritten(context)
    assert.equal(code, 'switch.by_others')
    assert.deepEqual(facts, {deniedSince: setAtMs, drainedAt: drainedAtMs, nodeSourceUntil: nodeOursAtMs})
    assert.equal(
      message,
      `somebody else switched users to b after ${iso(nodeOursAtMs)}, before everything that the source had accepted was there: of rows that clients wrote to b since then, those that were written on the source shortly before ${iso(setAtMs)} may hold the older value`,
    )
    assert.equal(
      next,
      'b serves, the source refuses everyone and nothing ships any more. Find out who switched it, and have the applications look at what they wrote in that time. The same command finishes what is left.',
    )
  })

  it('is told by the deny where the node was never looked at, else by the present', () => {
    const {clock, context, state} = new ScriptedMigration()
    state.window = {setAtMs: 1_767_225_600_000}
    assert.equal(perhapsOverwritten(context).facts.nodeSourceUntil, 1_767_225_600_000)
    state.window = {}
    const {facts, message} = perhapsOverwritten(context)
    assert.equal(facts.nodeSourceUntil, clock.wallMs())
    assert.ok(message.includes(`shortly before ${iso(clock.wallMs())} may`))
  })
})

function wait({clock}: ScriptedMigration, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(ms, resolve)
  })
}
