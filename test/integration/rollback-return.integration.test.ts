import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import {MigratorError} from '../../src/lib/errors.js'
import type {RollbackResult, StepId} from '../../src/lib/migration/rollback/index.js'
import {type Bed, keepWriting, onBed} from '../sandbox/test-bed.js'
import {MemoryFiles} from '../support/memory-files.js'
import {RollbackBed, ROOT} from '../support/rollback-bed.js'

const root = {zooKeeperHosts: 'zk:2181', zooKeeperRoot: ROOT}

/** A table that was moved to the target. */
function onMoved(body: (at: RollbackBed, bed: Bed) => Promise<void>) {
  return onBed({profile: '2.5'}, async (bed) => {
    const at = await RollbackBed.open(bed)
    const result = await at.migrate()
    assert.equal(result.outcome, 'migrated', JSON.stringify(result.error))
    await body(at, bed)
  })
}

const stepsOf = (result: RollbackResult) => result.steps.map(({state, step}) => `${step} ${state}`)

async function outcome({client, sandbox}: Bed, side: 'source' | 'target', key = 'after', value = 'x'): Promise<string> {
  return client.outcome(client.put(sandbox[side], 't', key, value))
}

async function assertServing(at: RollbackBed, bed: Bed, side: 'source' | 'target'): Promise<void> {
  const other = side === 'source' ? 'target' : 'source'
  assert.equal(await at.nodeName(), at[side].name)
  assert.equal(at.deny(side), undefined)
  assert.equal(at.deny(other), 'reconfig*all')
  await sleep(bed.clock, 31_000)
  assert.equal(await outcome(bed, side), 'OK')
  assert.equal(await outcome(bed, other), 'ERR_INVALID_STATE')
}

describe('return of a table after the switch', () => {
  it(
    'loses nothing: both sides are compared live and once more while nobody writes, and the node is switched back',
    onMoved(async (at, bed) => {
      const node = await at.nodes.read('t')
      const result = await at.rollback()
      assert.equal(result.outcome, 'returned', JSON.stringify(result))
      assert.deepEqual(
        stepsOf(result),
        [
          'open-source-reads',
          'compare-live',
          'deny-target',
          'compare-denied',
          'switch-back',
          'open-source',
          'close-target',
        ].map((step) => `${step} done`),
      )
      assert.equal((await at.nodes.read('t')).version, node.version + 1)
      assert.match(result.next!, /onebox serves t again/)
      await assertServing(at, bed, 'source')
      const values = at.events.flatMap((event) =>
        event.type === 'effect' && 'value' in event.effect ? [String(event.effect.value)] : [],
      )
      assert.ok(
        values.every((value) => !value.startsWith('timeout')),
        values.join(' '),
      )
    }),
  )

  it(
    'works without the journal, from another machine',
    onMoved(async (at, bed) => {
      at.files = new MemoryFiles()
      const result = await at.rollback({...root, targetCluster: 'onebox2', targetMetas: at.target.metas})
      assert.equal(result.outcome, 'returned', JSON.stringify(result))
      await assertServing(at, bed, 'source')
    }),
  )

  it(
    'is refused when rows were written to the target since; the target goes on serving as before',
    onMoved(async (at, bed) => {
      assert.equal(await outcome(bed, 'target', 'new1'), 'OK')
      assert.equal(await outcome(bed, 'target', 'row1', 'other'), 'OK')
      const result = await at.rollback()
      assert.equal(result.outcome, 'refused', JSON.stringify(result))
      assert.equal(result.error?.code, 'rollback.would_lose')
      assert.equal(result.error.facts.missingOnSource, 1)
      assert.equal(result.error.facts.different, 1)
      assert.match(result.error.message, /2 rows of t would be lost by a return/)
      assert.match(result.next!, /--allow-data-loss/)
      assert.deepEqual(stepsOf(result), ['open-source-reads done', 'compare-live failed'])
      await assertServing(at, bed, 'target')
    }),
  )

  it(
    'opens the target again when a write came between the two comparisons',
    onMoved(async (at, bed) => {
      let written: Promise<string> | undefined
      const result = await at.rollback(
        {},
        {
          onEvent(event) {
            if (event.type === 'step-finished' && event.step === 'compare-live')
              written = outcome(bed, 'target', 'late')
          },
        },
      )
      assert.equal(await written, 'OK')
      assert.equal(result.error?.code, 'rollback.would_lose', JSON.stringify(result))
      assert.equal(result.outcome, 'refused')
      assert.deepEqual(stepsOf(result).slice(-1), ['compare-denied failed'])
      await assertServing(at, bed, 'target')
    }),
  )

  it(
    'goes all the same with --allow-data-loss, once the name was typed',
    onMoved(async (at, bed) => {
      assert.equal(await outcome(bed, 'target', 'new1'), 'OK')
      const result = await at.rollback({allowDataLoss: true})
      assert.equal(result.outcome, 'returned', JSON.stringify(result))
      assert.match(at.asked[0]!.typeName!, /lost/)
      assert.match(result.warnings.join('\n'), /is lost/)
      await assertServing(at, bed, 'source')
      assert.equal(bed.client.valueOf(at.source, 't', 'new1'), undefined)
    }),
  )

  it(
    'under load is refused, and no write of the load is lost',
    onMoved(async (at, bed) => {
      let stopped = false
      const acked = new Map<string, string>()
      const writing = (async () => {
        for (let i = 0; !stopped; i++) {
          const [key, value] = [`w${i % 20}`, `v${i}`]
          if ((await outcome(bed, 'target', key, value)) === 'OK') acked.set(key, value)
          await sleep(bed.clock, 100)
        }
      })()
      await sleep(bed.clock, 3000)
      const result = await at.rollback()
      assert.equal(result.outcome, 'refused', JSON.stringify(result))
      await sleep(bed.clock, 31_000)
      stopped = true
      await writing
      assert.ok(acked.size >= 20)
      for (const [key, value] of acked) assert.equal(bed.client.valueOf(at.target, 't', key), value)
      await assertServing(at, bed, 'target')
    }),
  )

  it(
    'ends on exactly one side when the answer to the switch back is lost',
    onMoved(async (at, bed) => {
      const {compareAndSet} = at.nodes
      let lost = 0
      at.nodes.compareAndSet = async (...args) => {
        const outcome_ = await compareAndSet.apply(at.nodes, args)
        if (lost++ > 0) return outcome_
        throw new MigratorError('zk.outcome_unknown', 'nobody knows', {retrySafe: true})
      }

      const result = await at.rollback()
      assert.equal(result.outcome, 'returned', JSON.stringify(result))
      await assertServing(at, bed, 'source')
    }),
  )

  it(
    'opens the target again when the switch back is refused',
    onMoved(async (at, bed) => {
      at.nodes.compareAndSet = async () => {
        throw new MigratorError('zk.auth_failed', 'not allowed')
      }

      const result = await at.rollback()
      assert.equal(result.outcome, 'stopped', JSON.stringify(result))
      assert.equal(result.error?.code, 'zk.auth_failed')
      await assertServing(at, bed, 'target')
    }),
  )

  for (const step of [
    'open-source-reads',
    'compare-live',
    'deny-target',
    'compare-denied',
    'switch-back',
  ] as StepId[]) {
    it(
      `stopped in ${step} leaves exactly one side serving`,
      onMoved(async (at, bed) => {
        const stop = new AbortController()
        const result = await at.rollback(
          {},
          {
            onEvent: (event) =>
              event.type === 'step-started' && event.step === step && stop.abort(new Error('stopped')),
            signal: stop.signal,
          },
        )
        assert.equal(result.outcome, 'stopped', JSON.stringify(result))
        await assertServing(at, bed, 'target')
      }),
    )
  }

  it(
    'is finished by a second run that finds a first one dead after its switch back',
    onMoved(async (at, bed) => {
      // What a killed return leaves: the node names the source, both sides deny.
      await bed.client.setEnv(at.source, 't', 'replica.deny_client_request', 'reconfig*write')
      await bed.client.setEnv(at.target, 't', 'replica.deny_client_request', 'reconfig*write')
      at.name('source')
      const result = await at.rollback({adopt: true})
      assert.equal(result.outcome, 'rolled-back', JSON.stringify(result))
      assert.equal(at.deny(), undefined)
      assert.equal(at.deny('target'), 'reconfig*write')
    }),
  )

  it(
    'is taken up by a second run that finds a first one dead with the target denied',
    onMoved(async (at, bed) => {
      await bed.client.setEnv(at.source, 't', 'replica.deny_client_request', 'reconfig*write')
      await bed.client.setEnv(at.target, 't', 'replica.deny_client_request', 'reconfig*write')
      assert.equal((await at.rollback()).outcome, 'returned')
      await assertServing(at, bed, 'source')
    }),
  )

  it(
    'is not offered when the source accepts writes too',
    onMoved(async (at, bed) => {
      await bed.client.deleteEnv(at.source, 't', 'replica.deny_client_request')
      const load = keepWriting(bed)
      const result = await at.rollback()
      await load.stop()
      assert.equal(result.outcome, 'refused')
      assert.equal(result.error?.code, 'rollback.both_open')
    }),
  )
})
