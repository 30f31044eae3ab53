import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import type {StepId} from '../../src/lib/migration/rollback/index.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {MigratorError} from '../../src/lib/errors.js'
import {keepWriting, onBed, untilStatus, type Bed} from '../sandbox/test-bed.js'
import {MemoryFiles} from '../support/memory-files.js'
import {RollbackBed, ROOT} from '../support/rollback-bed.js'

const SYNC_MS = 30_000
const root = {zooKeeperHosts: 'zk:2181', zooKeeperRoot: ROOT}

function onTable(body: (at: RollbackBed, bed: Bed) => Promise<void>, profile: '2.4' | '2.5' | 'master' = '2.5') {
  return onBed({profile}, async (bed) => body(await RollbackBed.open(bed), bed))
}

const stepsOf = (result: {steps: {state: string; step: StepId}[]}) =>
  result.steps.map(({state, step}) => `${step} ${state}`)

/** Whether a client's write is taken by every partition, asked once. */
async function writable({client, sandbox}: Bed): Promise<boolean> {
  const outcomes = await Promise.all(
    [0, 1, 2, 3].map((index) =>
      client.outcome(client.put(sandbox.source, 't', client.keyIn(sandbox.source, 't', index), 'x')),
    ),
  )
  return outcomes.every((outcome) => outcome === 'OK')
}

describe('rollback of a stuck write-deny', () => {
  for (const profile of ['2.4', '2.5', 'master'] as const) {
    for (const value of ['timeout*write', 'reconfig*write', 'reconfig*all']) {
      it(
        `left by the old tool, ${value} on ${profile}: writable within one sync interval and 5 s`,
        onTable(async (at, bed) => {
          await at.leaveDenied(value)
          assert.equal(await writable(bed), false)
          const startMs = bed.clock.nowMs()
          let provedMs: number | undefined
          const result = await at.rollback(
            {adopt: true, ...root},
            {
              onEvent(event) {
                if (event.type === 'step-finished' && event.step === 'allow-writes') provedMs = bed.clock.nowMs()
              },
            },
          )
          assert.equal(result.outcome, 'rolled-back', JSON.stringify(result))
          assert.ok(provedMs! - startMs <= SYNC_MS + 5000, `${provedMs! - startMs} ms`)
          assert.equal(result.writableAfterMs, provedMs! - startMs)
          assert.equal(at.deny(), undefined)
          assert.equal(await writable(bed), true)
          assert.equal(await at.nodeName(), 'onebox')
          assert.equal((await at.nodes.read('t')).version, 1, 'the commit was taken away first')
        }, profile),
      )
    }
  }

  it(
    'is refused without --adopt, and changes nothing',
    onTable(async (at, bed) => {
      await at.leaveDenied('timeout*write')
      const result = await at.rollback(root)
      assert.equal(result.outcome, 'refused')
      assert.equal(result.error?.code, 'rollback.foreign_deny')
      assert.match(result.next!, /--adopt/)
      assert.equal(at.deny(), 'timeout*write')
      assert.equal((await at.nodes.read('t')).version, 0)
      assert.equal(await writable(bed), false)
    }),
  )

  it(
    'never lifts while ZooKeeper cannot be asked: it keeps trying, with an alarm, and says so at its limit',
    onTable(async (at, bed) => {
      await at.leaveDenied('timeout*write')
      at.nodes.read = async () => {
        throw new MigratorError('zk.unreachable', 'nothing answers at zk:2181')
      }

      const startMs = bed.clock.nowMs()
      const result = await at.rollback({adopt: true, ...root, limitMs: 60_000})
      assert.equal(result.outcome, 'refused')
      assert.ok(bed.clock.nowMs() - startMs >= 60_000)
      assert.equal(result.error?.code, 'zk.unreachable')
      assert.ok(
        result.warnings.some((text) => /ALARM.*nothing is lifted before/.test(text)),
        result.warnings.join('\n'),
      )
      assert.equal(at.deny(), 'timeout*write')
    }),
  )

  it(
    'lifts once ZooKeeper answers again',
    onTable(async (at, bed) => {
      await at.leaveDenied('timeout*write')
      const {read} = at.nodes
      const untilMs = bed.clock.nowMs() + 20_000
      at.nodes.read = async (...args) => {
        if (bed.clock.nowMs() < untilMs) throw new MigratorError('zk.unreachable', 'nothing answers')
        return read.apply(at.nodes, args)
      }

      const result = await at.rollback({adopt: true, ...root})
      assert.equal(result.outcome, 'rolled-back')
      assert.equal(await writable(bed), true)
    }),
  )

  it(
    'rides out a dead meta leader',
    onTable(async (at, bed) => {
      await at.leaveDenied('reconfig*write')
      await at.source.killMetaLeader()
      const result = await at.rollback({adopt: true, ...root})
      assert.equal(result.outcome, 'rolled-back', JSON.stringify(result))
      assert.equal(await writable(bed), true)
    }),
  )

  it(
    'names the server that does not hear of it, and says that writes may be denied',
    onTable(async (at) => {
      await at.leaveDenied('reconfig*write')
      const deaf = at.source.primaryOf('t', 0)!
      at.source.stopTicks(deaf)
      const result = await at.rollback({adopt: true, ...root, limitMs: 1000})
      assert.equal(result.outcome, 'write-denied')
      assert.match(result.error!.message, new RegExp(deaf.replaceAll('.', String.raw`\.`)))
      at.source.resumeTicks(deaf)
      assert.equal((await at.rollback({adopt: true, ...root})).outcome, 'rolled-back')
    }),
  )

  it(
    'is not lifted when the node names neither side',
    onTable(async (at) => {
      await at.leaveDenied('timeout*write')
      at.nodes.put(`${ROOT}/t`, '{"cluster_name":"elsewhere","meta_addrs":"10.9.9.9:1,10.9.9.9:2"}')
      const result = await at.rollback({adopt: true, targetCluster: 'onebox2', targetMetas: at.target.metas, ...root})
      assert.equal(result.error?.code, 'rollback.node_elsewhere')
      assert.equal(at.deny(), 'timeout*write')
    }),
  )

  it(
    'that refuses everyone is not lifted unseen: the table may have been moved',
    onTable(async (at) => {
      await at.leaveDenied('reconfig*all')
      const result = await at.rollback({adopt: true})
      assert.equal(result.error?.code, 'rollback.perhaps_handed_over')
      assert.match(result.next!, /--root/)
      assert.equal(at.deny(), 'reconfig*all')
    }),
  )

  it(
    'is refused while another run holds the lock',
    onTable(async (at) => {
      await at.leaveDenied('timeout*write')
      const lock = await at.locks.acquire({
        isDead: async () => false,
        note: {command: 'table:migrate -t t', host: 'h2', pid: 7, pidSpace: '', sinceMs: 0, started: '', token: 'x'},
        signal: new AbortController().signal,
        table: 't',
        waitMs: 0,
      })
      const result = await at.rollback({adopt: true, ...root})
      assert.equal(result.outcome, 'refused')
      assert.equal(result.error?.code, 'lock.held')
      assert.equal(at.deny(), 'timeout*write')
      await lock.release()
      assert.equal((await at.rollback({adopt: true, ...root})).outcome, 'rolled-back')
    }),
  )
})

describe('rollback of a migration', () => {
  it(
    'does nothing to a table that nobody migrates, and proves that it is writable',
    onTable(async (at) => {
      const result = await at.rollback(root)
      assert.equal(result.outcome, 'rolled-back')
      assert.deepEqual(stepsOf(result), ['prove-writes done'])
      assert.deepEqual(result.effects, [])
    }),
  )

  it(
    'removes a duplication that has not begun to ship, and can be run twice',
    onTable(async (at, bed) => {
      await bed.client.add('t')
      await untilStatus(bed, DuplicationStatus.DS_APP, 100_000)
      at.source.hazards.crashWhenStoppedUnderLoad = true
      const first = await at.rollback({...root, targetCluster: 'onebox2', targetMetas: at.target.metas})
      assert.equal(first.outcome, 'rolled-back', JSON.stringify(first))
      assert.deepEqual(stepsOf(first), ['prove-writes done', 'remove-duplication done', 'clean-target done'])
      assert.equal(await bed.client.status('t'), undefined)
      assert.deepEqual(
        [...at.target.table('t').info.envs.keys()].filter((key) => key.startsWith('duplication.')),
        [],
      )
      const second = await at.rollback({...root, targetCluster: 'onebox2', targetMetas: at.target.metas})
      assert.deepEqual(stepsOf(second), ['prove-writes done'])
      assert.deepEqual(second.effects, [])
    }),
  )

  it(
    'removes a duplication at rest, and puts settings back from the journal',
    onTable(async (at, bed) => {
      const stop = new AbortController()
      // Stopped in the middle of catching up: the duplication and the settings are there.
      const migrated = await at.migrate(
        {},
        stop.signal,
        (event) =>
          event.type === 'phase-finished' &&
          'phase' in event &&
          event.phase === 'duplicate' &&
          stop.abort(new Error('stop')),
      )
      assert.equal(migrated.outcome, 'stopped', JSON.stringify(migrated))
      assert.equal(at.source.servers[0]!.config.flags.get('duplicate_log_batch_bytes')!.value, '0')
      at.source.hazards.crashWhenStoppedUnderLoad = true
      const result = await at.rollback()
      assert.equal(result.outcome, 'rolled-back', JSON.stringify(result))
      assert.deepEqual(stepsOf(result), [
        'prove-writes done',
        'remove-duplication done',
        'put-settings-back done',
        'clean-target done',
      ])
      for (const server of at.source.servers)
        assert.equal(server.config.flags.get('duplicate_log_batch_bytes')!.value, '4096')
      assert.ok(at.source.servers.every(({alive}) => alive))
      assert.equal(await bed.client.status('t'), undefined)
    }),
  )

  it(
    'without the journal finds the settings in the servers’ own configuration',
    onTable(async (at, bed) => {
      const stop = new AbortController()
      await at.migrate(
        {},
        stop.signal,
        (event) =>
          event.type === 'phase-finished' &&
          'phase' in event &&
          event.phase === 'duplicate' &&
          stop.abort(new Error('stop')),
      )
      at.files = new MemoryFiles()
      const refused = await at.rollback(root)
      assert.equal(refused.error?.code, 'rollback.foreign_duplication')
      const result = await at.rollback({...root, targetCluster: 'onebox2'})
      assert.equal(result.outcome, 'rolled-back', JSON.stringify(result))
      for (const server of at.source.servers)
        assert.equal(server.config.flags.get('duplicate_log_batch_bytes')!.value, '4096')
      assert.equal(await bed.client.status('t'), undefined)
    }),
  )

  it(
    'keeps a duplication under load and says what that costs; --brief-deny removes it, bounded, and nothing crashes',
    onTable(async (at, bed) => {
      await bed.client.duplicate('t')
      at.source.hazards.crashWhenStoppedUnderLoad = true
      const load = keepWriting(bed)
      await sleep(bed.clock, 5000)
      const where = {...root, targetCluster: 'onebox2', targetMetas: at.target.metas}
      const kept = await at.rollback(where)
      assert.equal(kept.outcome, 'duplication-kept')
      assert.deepEqual(stepsOf(kept), ['prove-writes done', 'remove-duplication skipped', 'clean-target skipped'])
      assert.match(kept.steps[1]!.summary, /disk.*atomic writes/)
      assert.equal(await bed.client.status('t'), DuplicationStatus.DS_LOG)

      const early = await at.rollback({...where, briefDeny: true, maxWriteDenyMs: 60_000})
      assert.equal(early.error?.code, 'rollback.bound')
      assert.equal(at.deny(), undefined)

      const startMs = bed.clock.nowMs()
      const result = await at.rollback({...where, briefDeny: true})
      assert.equal(result.outcome, 'rolled-back', JSON.stringify(result))
      assert.ok(bed.clock.nowMs() - startMs < 150_000)
      assert.equal(await bed.client.status('t'), undefined)
      assert.equal(at.deny(), undefined)
      assert.ok(
        at.source.servers.every(({alive}) => alive),
        'no server crashed',
      )
      assert.equal(await writable(bed), true)
      await load.stop()
    }),
  )

  it(
    'gives a brief deny up within its bound when the target takes nothing, and writes flow again',
    onTable(async (at, bed) => {
      await bed.client.duplicate('t')
      const load = keepWriting(bed)
      for (const {address} of at.target.servers) await at.target.killServer(address)
      await sleep(bed.clock, 5000)
      const denied: number[] = []
      const result = await at.rollback(
        {...root, briefDeny: true, targetCluster: 'onebox2', targetMetas: at.target.metas},
        {onEvent: (event) => event.type === 'effect' && event.state === 'done' && denied.push(event.atMs)},
      )
      assert.equal(result.outcome, 'stopped', JSON.stringify(result))
      assert.equal(result.error?.code, 'rollback.bound_reached')
      assert.equal(at.deny(), undefined)
      assert.equal(await writable(bed), true)
      assert.equal(await bed.client.status('t'), DuplicationStatus.DS_LOG)
      await load.stop()
    }),
  )

  it(
    'drops the copy no sooner than 40 s after every server forgot the duplication; it can be recalled',
    onTable(async (at, bed) => {
      await bed.client.duplicate('t')
      at.source.hazards.crashOnEarlyDrop = true
      at.target.hazards.crashOnEarlyDrop = true
      const copyId = at.target.table('t').info.appId
      let forgottenMs = 0
      let droppedMs = 0
      const result = await at.rollback(
        {...root, dropTarget: true, targetCluster: 'onebox2', targetMetas: at.target.metas},
        {
          onEvent(event) {
            if (event.type === 'step-finished' && event.step === 'remove-duplication') forgottenMs = event.atMs
            if (event.type === 'effect' && event.effect.kind === 'drop-target-table' && event.state === 'begin')
              droppedMs = event.atMs
          },
        },
      )
      assert.equal(result.outcome, 'rolled-back', JSON.stringify(result))
      assert.ok(droppedMs - forgottenMs >= 40_000, `${droppedMs - forgottenMs} ms`)
      assert.equal(at.target.state.tableNamed('t'), undefined)
      assert.match(result.next!, new RegExp(`recall ${copyId} t`))
      assert.equal(at.asked[0]!.typeName, "the target's copy is dropped")
      assert.ok([...at.source.servers, ...at.target.servers].every(({alive}) => alive))
    }),
  )

  it(
    "never drops a table of the target's that is no copy of this one",
    onTable(async (at) => {
      await at.target.createTable('t', {partitionCount: 4, replicaCount: 3})
      const result = await at.rollback({
        ...root,
        dropTarget: true,
        targetCluster: 'onebox2',
        targetMetas: at.target.metas,
      })
      assert.equal(result.error?.code, 'rollback.not_a_copy')
      assert.ok(at.target.state.tableNamed('t'))
    }),
  )

  it(
    'only says what it would do in a dry run, and asks nobody',
    onTable(async (at, bed) => {
      await bed.client.duplicate('t')
      await at.leaveDenied('reconfig*write')
      const before = (await at.nodes.read('t')).version
      const result = await at.rollback(
        {adopt: true, dropTarget: true, ...root, targetCluster: 'onebox2', targetMetas: at.target.metas},
        {dryRun: true},
      )
      assert.equal(result.outcome, 'dry-run')
      assert.equal(result.effects.length, 4, result.effects.join('\n'))
      assert.match(
        result.effects.join('\n'),
        /same bytes[\s\S]*delete replica.deny[\s\S]*remove duplication[\s\S]*drop t/,
      )
      assert.deepEqual(at.asked, [])
      assert.equal(at.deny(), 'reconfig*write')
      assert.equal((await at.nodes.read('t')).version, before)
      assert.equal(at.files.texts.size, 0)
    }),
  )

  it(
    'does nothing when the operator does not agree',
    onTable(async (at) => {
      await at.leaveDenied('reconfig*write')
      const result = await at.rollback({adopt: true, ...root}, {confirm: false})
      assert.equal(result.outcome, 'refused')
      assert.equal(at.deny(), 'reconfig*write')
      assert.equal(at.files.texts.size, 0)
    }),
  )
})
