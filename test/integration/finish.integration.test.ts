import assert from 'node:assert/strict'

import {exitCodeOf} from '../../src/lib/ui/outcome.js'
import type {MigrationEvent} from '../../src/lib/migration/events.js'
import type {MigrationRequest} from '../../src/lib/migration/index.js'
import {readStatus} from '../../src/lib/migration/status/index.js'
import {type Bed, onBed} from '../sandbox/test-bed.js'
import {MemoryFiles} from '../support/memory-files.js'
import {RollbackBed, ROOT} from '../support/rollback-bed.js'

const DENY_ENV = 'replica.deny_client_request'
const BATCH_BYTES = 'duplicate_log_batch_bytes'
const withoutNode: Partial<MigrationRequest> = {afterDrain: 'keep', metaproxy: undefined}

function onTable(body: (at: RollbackBed, bed: Bed) => Promise<void>) {
  return onBed({profile: '2.5'}, async (bed) => body(await RollbackBed.open(bed), bed))
}

/** @returns a listener that acts each time when `is` says so */
function on(is: (event: MigrationEvent) => boolean, act: () => void) {
  return (event: {type: string}) => {
    if (is(event as MigrationEvent)) act()
  }
}

const finishBegins = (event: MigrationEvent) => event.type === 'phase-started' && event.phase === 'finish'
const isClosed = (event: MigrationEvent) =>
  event.type === 'effect' && event.effect.kind === 'close-source' && event.state === 'done'

async function stateOf(at: RollbackBed, root: boolean) {
  const where = root ? {zooKeeperHosts: 'zk:2181', zooKeeperRoot: ROOT} : {}
  const query = {proxies: [], sourceMetas: at.source.metas, table: 't', ...where}
  const {tables} = await readStatus(query, at.world())
  return tables[0]!
}

const batchBytes = ({source}: RollbackBed) =>
  source.servers.map(({address}) => source.serverAt(address)!.config.number(BATCH_BYTES))

describe('the end of a migration', () => {
  for (const [name, changes] of [
    ['with a node', {}],
    ['without a node', withoutNode],
  ] as const) {
    it(
      `that could not put a setting back is no success, ${name}: the same command mends it`,
      onTable(async (at) => {
        const original = batchBytes(at)
        const jam = on(finishBegins, () => at.source.failCall('GET /updateConfig', 'out of luck', {count: 1_000_000}))
        const left = await at.migrate(changes, undefined, jam)
        assert.equal(left.outcome, 'switched-unfinished', JSON.stringify(left.error))
        assert.equal(left.error?.code, 'finish.settings_left')
        assert.match(left.error!.message, /duplicate_log_batch_bytes back to/)
        assert.match(left.next!, /onebox2 serves t\. Run the same command again/)
        assert.equal(exitCodeOf(left), 5)
        const {next, state} = await stateOf(at, name === 'with a node')
        assert.equal(state, 'switched-unfinished')
        assert.match(next.command!.join(' '), /table:migrate /)
        at.source.faults.clear()
        const again = await at.migrate(changes)
        assert.equal(again.outcome, 'migrated', JSON.stringify(again.error))
        assert.deepEqual(batchBytes(at), original)
        assert.equal(at.deny(), 'reconfig*all')
      }),
    )
  }

  it(
    'on another machine, without the journal, finds what the first one had set by what the servers are configured with',
    onTable(async (at) => {
      const original = batchBytes(at)
      const jam = on(finishBegins, () => at.source.failCall('GET /updateConfig', 'out of luck', {count: 1_000_000}))
      assert.equal((await at.migrate({}, undefined, jam)).outcome, 'switched-unfinished')
      at.source.faults.clear()
      assert.notDeepEqual(batchBytes(at), original)
      at.files = new MemoryFiles()
      const result = await at.migrate()
      assert.equal(result.outcome, 'migrated', JSON.stringify(result.error))
      assert.deepEqual(batchBytes(at), original)
    }),
  )

  it(
    'counts what was set on a server that is down as gone with it',
    onTable(async (at, bed) => {
      let killed: Promise<void> | undefined
      const kill = on(finishBegins, () => {
        killed ??= at.source.killServer(at.source.servers[2]!.address)
      })
      const result = await at.migrate({}, undefined, kill)
      await killed
      assert.equal(result.outcome, 'migrated', JSON.stringify(result.error))
      assert.match(result.warnings.join(' '), /is down: when it is started again/)
      assert.ok(bed.clock.nowMs() > 0)
    }),
  )

  it(
    'closes the source again when somebody replaced its deny meanwhile',
    onTable(async (at) => {
      const meddle = on(finishBegins, () => at.source.table('t').info.envs.set(DENY_ENV, 'timeout*read'))
      const result = await at.migrate({}, undefined, meddle)
      assert.equal(result.outcome, 'migrated', JSON.stringify(result.error))
      assert.equal(at.deny(), 'reconfig*all')
      assert.match(
        result.warnings.join(' '),
        /somebody replaced .*reconfig\*all .* by timeout\*read: it is closed again/,
      )
    }),
  )

  it(
    'is unfinished when somebody opens the source again and again',
    onTable(async (at) => {
      const meddle = on(isClosed, () => at.source.table('t').info.envs.delete(DENY_ENV))
      const result = await at.migrate({}, undefined, meddle)
      assert.equal(result.outcome, 'switched-unfinished')
      const again = await at.migrate()
      assert.equal(again.outcome, 'migrated', JSON.stringify(again.error))
      assert.equal(at.deny(), 'reconfig*all')
    }),
  )
})

describe('a finished migration without a node whose source somebody opened', () => {
  it(
    'is not called rolled back: only the operator knows which side serves',
    onTable(async (at) => {
      const moved = await at.migrate(withoutNode)
      assert.equal(moved.outcome, 'handed-over', JSON.stringify(moved.error))
      assert.equal((await stateOf(at, false)).state, 'handed-over')
      at.source.table('t').info.envs.delete(DENY_ENV)
      const refused = await at.rollback()
      assert.equal(refused.outcome, 'refused', JSON.stringify(refused))
      assert.equal(refused.error?.code, 'rollback.perhaps_serving')
      assert.match(
        refused.error!.message,
        /applications of t were moved to onebox2 \(finished 20.*both sides accept writes/,
      )
      assert.match(refused.next!, /set_app_envs replica\.deny_client_request reconfig\*all.*--adopt/)
      const {next, state} = await stateOf(at, false)
      assert.equal(state, 'both-open')
      assert.equal(next.command, undefined, 'no command can know it')
      assert.match(next.sentence, /If the applications are on onebox2.*--adopt/)
      const told = await at.rollback({adopt: true})
      assert.equal(told.outcome, 'rolled-back', JSON.stringify(told.error))
    }),
  )
})
