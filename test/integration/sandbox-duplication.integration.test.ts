import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {DENY_ENV} from '../sandbox/replica/deny.js'
import {keepWriting, onBed, smallTable, untilStatus, within, wrongOnTarget} from '../sandbox/test-bed.js'

const {DS_APP, DS_LOG} = DuplicationStatus

describe('sandbox: a duplication', function () {
  this.timeout(60_000)

  for (const profile of ['2.4', '2.5', 'master'] as const) {
    it(
      `of ${profile} takes the measured time through its stages and loses nothing (measured.md §4, measured-master.md §5)`,
      onBed({profile}, async (bed) => {
        await smallTable(bed)
        const {client, clock, sandbox} = bed
        await sleep(clock, 30_000)
        const writing = keepWriting(bed)
        const startMs = clock.nowMs()
        await client.add('t')
        await untilStatus(bed, DS_APP, 60_000)
        within(clock.nowMs() - startMs, 37_000, 48_000, 'DS_APP')
        await untilStatus(bed, DS_LOG, 60_000)
        within(clock.nowMs() - startMs, 50_000, 75_000, 'DS_LOG')
        within(await client.until(() => client.allShip('t'), 30_000, 'all ship'), 0, 10_500, 'all duplicating')
        await sleep(clock, 20_000)
        await client.setEnv(sandbox.source, 't', DENY_ENV, 'reconfig*write')
        await sleep(clock, 31_000)
        const acked = await writing.stop()
        const fences = client.fences('t')
        const drainMs = await client.until(() => client.shipped('t', fences), 30_000, 'drain')
        assert.deepEqual(wrongOnTarget(bed, acked), [])
        assert.equal(sandbox.target.rows('t').size, sandbox.source.rows('t').size)
        await sleep(clock, 12_000)
        const gaps = client.duplicators('t').map((d) => d!.notDuplicated)
        assert.deepEqual(gaps, profile === 'master' ? [0, 0, 0, 0] : [1, 1, 1, 1])
        if (profile === 'master') within(drainMs, 0, 200, 'drain')
      }),
    )
  }

  it(
    'of 2.5 drains 10 to 20 s after the last write of a busy table (measured.md §3)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sleep(clock, 30_000)
      await client.duplicate('t')
      const drains: number[] = []
      for (let run = 0; run < 6; run++) {
        const writing = keepWriting(bed)
        await sleep(clock, 11_000 + 777 * run)
        const acked = await writing.stop()
        const fences = client.fences('t')
        drains.push(await client.until(() => client.shipped('t', fences), 30_000, 'drain'))
        assert.deepEqual(wrongOnTarget(bed, acked), [])
      }

      assert.ok(Math.min(...drains) > 8000 && Math.max(...drains) < 20_300, String(drains))
      assert.equal(sandbox.source.rows('t').size, sandbox.target.rows('t').size)
    }),
  )

  it(
    'of 2.5-stock keeps the last mutation for 100 to 200 s (measured-master.md §3)',
    onBed({profile: '2.5-stock'}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sleep(clock, 130_000)
      await client.duplicate('t')
      await client.put(sandbox.source, 't', 'late', 'x')
      const startMs = clock.nowMs()
      await client.until(() => client.valueOf(sandbox.target, 't', 'late') === 'x', 210_000, 'the last write', 500)
      within(clock.nowMs() - startMs, 90_000, 201_000, 'the last write')
    }),
  )

  it(
    'never ships the last write while empty writes are disabled (measured.md §3)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sleep(clock, 30_000)
      await client.duplicate('t')
      await sleep(clock, 21_000)
      for (const {address} of sandbox.source.servers) await client.updateConfig(address, 'empty_write_disabled', 'true')
      const keys = [0, 1, 2, 3].map((partition) => client.keyIn(sandbox.source, 't', partition, 'last'))
      for (const key of keys) await client.put(sandbox.source, 't', key, 'x')
      await sleep(clock, 45_000)
      assert.deepEqual(
        client.duplicators('t').map((d) => d!.notDuplicated),
        [1, 1, 1, 1],
      )
      assert.deepEqual(
        keys.map((key) => client.valueOf(sandbox.target, 't', key)),
        [undefined, undefined, undefined, undefined],
      )
      for (const {address} of sandbox.source.servers)
        await client.updateConfig(address, 'empty_write_disabled', 'false')
      await sleep(clock, 11_000)
      assert.deepEqual(
        keys.map((key) => client.valueOf(sandbox.target, 't', key)),
        ['x', 'x', 'x', 'x'],
      )
    }),
  )
})
