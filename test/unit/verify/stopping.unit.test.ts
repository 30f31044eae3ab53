import assert from 'node:assert/strict'
import {MigratorError} from '../../../src/lib/errors.js'
import {verdictOf, type VerifyProgress, verifyTable} from '../../../src/lib/migration/verify/index.js'
import {RowBatch} from '../../../src/lib/pegasus/row-batch.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryRows, row} from './support/memory-rows.js'
import {addsUp, allShipped, verifyOn} from './support/run.js'

const never = new Promise<never>(() => {})

function tables(
  clock: VirtualClock,
  rows: number,
  partitionCount: number,
  replyMs = 1,
): {source: MemoryRows; target: MemoryRows} {
  const options = {batchRows: 50, clock, replyMs}
  const sides = {source: new MemoryRows(options), target: new MemoryRows(options)}
  for (let n = 0; n < rows; n++)
    for (const side of Object.values(sides)) side.put(n % partitionCount, row(`${n}`, '', 'v'))
  return sides
}

describe('ending a comparison', () => {
  for (const call of ['count', 'get', 'scan'] as const) {
    it(`stops at once when it is aborted, though a server never answers a ${call}`, async () => {
      const clock = new VirtualClock()
      const sides = tables(clock, 400, 4)
      sides.target.remove(2, row('2', '', '').key)
      let hanging = 0
      sides.target.interfere = async (asked) => {
        if (asked !== call) return
        hanging++
        await never
      }

      const abort = new AbortController()
      const reason = new MigratorError('run.stopped', 'stopped by SIGINT')
      clock.setTimer(20_000, () => abort.abort(reason))
      const mode = call === 'count' ? 'count' : 'full'
      await assert.rejects(verifyOn(clock, {...sides, mode, partitionCount: 4, signal: abort.signal}), reason)
      assert.equal(clock.nowMs(), 20_000)
      assert.ok(hanging > 0)
      assert.equal(sides.source.openScans, 0)
    })
  }

  it('does nothing when it is aborted before', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock, 10, 1)
    const reason = new Error('too late')
    await assert.rejects(verifyOn(clock, {...sides, partitionCount: 1, signal: AbortSignal.abort(reason)}), reason)
    assert.equal(sides.source.openScans, 0)
  })

  it('ends every partition when one cannot be read, with that error and closed scanners', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock, 40_000, 4)
    const reason = new MigratorError('verify.unreadable', 'partition 3')
    sides.target.interfere = async (_, partition) => {
      if (partition === 3 && clock.nowMs() > 20) throw reason
    }

    await assert.rejects(verifyOn(clock, {...sides, partitionCount: 4}), reason)
    assert.ok(clock.nowMs() < 30, `ended after ${clock.nowMs()} ms`)
    await clock.advance(1)
    assert.equal(sides.source.openScans + sides.target.openScans, 0)
  })

  it('ends when the progress of the duplication cannot be read and will not be', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock, 400, 4)
    sides.target.remove(2, row('2', '', '').key)
    for (const [code, afterMs] of [
      ['meta.error', 91_500],
      ['verify.table_changed', 2],
    ] as const) {
      const reason = new MigratorError(code, 'cannot be read')
      const startMs = clock.nowMs()
      const progress = () => Promise.reject(reason)
      await assert.rejects(verifyOn(clock, {...sides, partitionCount: 4, progress, rereadLimitMs: 200_000}), reason)
      assert.ok(clock.nowMs() - startMs <= afterMs, `${code}: ${clock.nowMs() - startMs} ms`)
      await clock.advance(1)
      assert.equal(sides.source.openScans + sides.target.openScans, 0)
    }
  })

  it('bears it for a while when the progress cannot be read', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock, 40, 4)
    sides.target.remove(2, row('2', '', '').key)
    const progress = async () => {
      if (clock.nowMs() < 60_000) throw new MigratorError('observe.no_primary', 'a server died')
      return allShipped(4)()
    }

    assert.equal((await verifyOn(clock, {...sides, partitionCount: 4, progress})).missingOnTarget, 1)
  })

  it('reads no more partitions at once than allowed', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock, 2000, 8)
    let most = 0
    sides.source.interfere = async () => {
      most = Math.max(most, sides.source.openScans)
    }

    await verifyOn(clock, {...sides, parallel: 3, partitionCount: 8})
    assert.equal(most, 3)
  })

  it('ends at the time limit with what it has, and says that it is not all', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock, 40_000, 4)
    const report = await verifyOn(clock, {...sides, limitMs: 100, partitionCount: 4})
    assert.equal(report.stopped, 'time')
    assert.ok(report.rowsCompared > 500 && report.rowsCompared < 40_000, String(report.rowsCompared))
    assert.ok(clock.nowMs() < 120)
    assert.equal(report.partitions, 0)
    assert.equal(verdictOf(report), 'unproved')
    assert.equal(sides.source.openScans + sides.target.openScans, 0)
  })

  it('ends when enough is wrong, holding a bounded number of suspects', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock, 60_000, 4)
    sides.target.scan = async function* () {
      yield RowBatch.of([])
    }

    sides.target.get = async () => undefined
    const emitted: VerifyProgress[] = []
    const report = await verifyOn(clock, {...sides, emit: (progress) => emitted.push(progress), partitionCount: 4})
    assert.equal(report.stopped, 'differences')
    assert.equal(verdictOf(report), 'different')
    assert.ok(report.missingOnTarget >= 1000)
    assert.equal(report.differences.length, 100)
    assert.ok(addsUp(report))
    assert.ok(Math.max(...emitted.map(({suspects}) => suspects)) <= 10_004)
  }).timeout(60_000)

  it('tells how far it is, also while only suspects are left', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock, 4000, 4)
    sides.target.remove(2, row('2', '', '').key)
    const emitted: VerifyProgress[] = []
    await verifyOn(clock, {
      ...sides,
      emit: (progress) => emitted.push(progress),
      partitionCount: 4,
      progress: async () => (clock.nowMs() < 20_000 ? [] : allShipped(4)()),
    })
    assert.deepEqual(emitted.at(-1), {
      differences: 1,
      mode: 'full',
      partitionCount: 4,
      partitionsDone: 4,
      rowsCompared: 4000,
      rowsDone: 4000,
      suspects: 0,
    })
    assert.ok(emitted.filter(({partitionsDone, suspects}) => partitionsDone === 4 && suspects === 1).length > 10)
    for (let n = 1; n < emitted.length; n++) assert.ok(emitted[n]!.rowsCompared >= emitted[n - 1]!.rowsCompared)
  })

  it('leaves no timer behind', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock, 40, 1)
    sides.target.remove(0, row('2', '', '').key)
    await verifyOn(clock, {...sides, partitionCount: 1})
    await assert.rejects(clock.run(never), /nothing left to happen/)
    assert.equal(typeof verifyTable, 'function')
  })
})
