import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import type {MigrationEvent} from '../../src/lib/migration/events.js'
import {DuplicationFailMode} from '../../src/lib/rpc/structs/duplication.js'
import {type Bed, keepWriting, onBed} from '../sandbox/test-bed.js'
import {RollbackBed} from '../support/rollback-bed.js'

function onTable(body: (at: RollbackBed, bed: Bed) => Promise<void>, profile: '2.5' | 'master' = '2.5') {
  return onBed({profile}, async (bed) => {
    const at = await RollbackBed.open(bed)
    const load = keepWriting(bed)
    try {
      await body(at, bed)
    } finally {
      await load.stop()
    }
  })
}

function setFailMode({source}: RollbackBed, failMode: DuplicationFailMode): void {
  const [entry] = source.state.duplications.of(source.table('t').info.appId)
  source.state.duplications.modify({appName: 't', dupid: entry!.dupid, failMode})
}

/** Once, when the phase begins. */
function atPhase(phase: string, act: () => void) {
  let done = false
  return (event: {type: string}) => {
    const {type, ...rest} = event as MigrationEvent
    if (done || type !== 'phase-started' || !('phase' in rest) || rest.phase !== phase) return
    done = true
    act()
  }
}

const SKIP = DuplicationFailMode.FAIL_SKIP
const SLOW = DuplicationFailMode.FAIL_SLOW

describe('a duplication that somebody sets to FAIL_SKIP', () => {
  for (const phase of ['catch-up', 'drain']) {
    it(
      `stops the migration at once in ${phase}, and all rows are compared before the table is switched`,
      onTable(async (at) => {
        const skip = atPhase(phase, () => setFailMode(at, SKIP))
        const stopped = await at.migrate({}, undefined, skip)
        assert.equal(stopped.outcome, 'stopped', JSON.stringify(stopped.error))
        assert.equal(stopped.error?.code, 'duplicate.fail_mode')
        assert.match(stopped.next!, /set_dup_fail_mode t \d+ slow/)
        const stoppedAtMs = stopped.phases.find(({state}) => state === 'failed')!.durationMs
        assert.ok(stoppedAtMs < 5000, `${stoppedAtMs} ms`)
        assert.equal(at.deny(), undefined)

        const refused = await at.migrate()
        assert.equal(refused.outcome, 'refused')
        assert.match(refused.next!, /set_dup_fail_mode t \d+ slow; all rows are compared/)

        setFailMode(at, SLOW)
        const done = await at.migrate({verify: 'none'})
        assert.equal(done.outcome, 'migrated', JSON.stringify(done.error))
        assert.equal(done.verification?.partitions, 4)
        assert.ok(done.verification!.rowsCompared > 0, 'rows were compared although --verify none was said')
        assert.equal(await at.nodeName(), 'onebox2')
      }),
    )
  }

  for (const profile of ['2.5', 'master'] as const) {
    it(
      `does not switch a table of which rows were left out, on ${profile}`,
      onTable(async (at, bed) => {
        const stopped = await at.migrate(
          {},
          undefined,
          atPhase('catch-up', () => setFailMode(at, SKIP)),
        )
        assert.equal(stopped.error?.code, 'duplicate.fail_mode')
        for (const {address} of at.source.servers) at.source.setLogUnreadable(address, true)
        await bed.client.put(at.source, 't', bed.client.keyIn(at.source, 't', 0), 'left out')
        await sleep(bed.clock, 20_000)
        for (const {address} of at.source.servers) at.source.setLogUnreadable(address, false)
        setFailMode(at, SLOW)
        const result = await at.migrate({verify: 'none'})
        assert.equal(result.outcome, 'stopped')
        assert.equal(result.error?.code, 'verify.different', JSON.stringify(result.error))
        assert.equal(await at.nodeName(), 'onebox')
        assert.equal(at.deny(), undefined)
      }, profile),
    )
  }

  it(
    'is not the only way: what the servers count as lost has all rows compared',
    onTable(async (at) => {
      const lose = atPhase('catch-up', () => {
        for (const server of at.source.servers)
          for (const replica of server.replicas)
            for (const duplicator of replica.duplicators.values()) duplicator.lost = 3
      })
      const done = await at.migrate({cutoverAttempts: 2, verify: 'none'}, undefined, lose)
      assert.equal(done.outcome, 'migrated', JSON.stringify(done.error))
      assert.match(
        done.warnings.join(' '),
        /count mutations of partitions 0, 1, 2, 3 that they did not find in their logs/,
      )
      assert.ok(done.verification!.rowsCompared > 0)
    }, 'master'),
  )
})
