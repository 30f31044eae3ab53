import assert from 'node:assert/strict'

import type {MigrationEvent} from '../../src/lib/migration/events.js'
import {onBed} from '../sandbox/test-bed.js'
import {RollbackBed} from '../support/rollback-bed.js'

/** Begins a duplication of the table to a backup cluster that takes nothing at the moment. */
function duplicateElsewhere({source}: RollbackBed): void {
  for (const {address} of source.processes) {
    source.editConfig(address, (config) => {
      config.set('duplication-group', 'backup', '9')
      config.set('pegasus.clusters', 'backup', '127.0.0.1:9')
    })
  }

  const request = {appName: 't', isDuplicatingCheckpoint: false, remoteClusterName: 'backup'}
  const {err} = source.state.duplications.add(request)
  assert.equal(err, 'ERR_OK')
}

const accepted = ['metaproxy-proxies', 'other-duplications']

describe('a table that is duplicated to another cluster too', () => {
  it(
    'is migrated once that was accepted',
    onBed({profile: '2.5'}, async (bed) => {
      const at = await RollbackBed.open(bed)
      duplicateElsewhere(at)
      const refused = await at.migrate()
      assert.match(refused.next!, /--accept other-duplications/)
      const done = await at.migrate({accepted})
      assert.equal(done.outcome, 'migrated', JSON.stringify(done.error))
      const left = at.source.state.duplications.of(at.source.table('t').info.appId)
      assert.deepEqual(
        left.map(({remote}) => remote.cluster),
        ['backup'],
      )
    }),
  )

  it(
    'since the migration began is not cut over: nobody was asked',
    onBed({profile: '2.5'}, async (bed) => {
      const at = await RollbackBed.open(bed)
      const stopped = await at.migrate({}, undefined, (event) => {
        const {type, ...rest} = event as MigrationEvent
        if (type === 'phase-started' && 'phase' in rest && rest.phase === 'catch-up') duplicateElsewhere(at)
      })
      assert.equal(stopped.outcome, 'stopped')
      assert.equal(stopped.error?.code, 'duplicate.others', JSON.stringify(stopped.error))
      assert.match(stopped.error!.message, /to backup\)/)
      assert.equal(at.deny(), undefined)
      const done = await at.migrate({accepted})
      assert.equal(done.outcome, 'migrated', JSON.stringify(done.error))
    }),
  )
})
