import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import {readStatus} from '../../src/lib/migration/status/index.js'
import {metaCalls} from '../../src/lib/rpc/calls.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {type Bed, keepWriting, onBed} from '../sandbox/test-bed.js'
import {RollbackBed, ROOT} from '../support/rollback-bed.js'

const root = {zooKeeperHosts: 'zk:2181', zooKeeperRoot: ROOT}

/** A table that clients write to, whose duplication ships to a copy; then `trouble` comes over it. */
function onShippingTable(
  trouble: (at: RollbackBed, bed: Bed) => Promise<void>,
  body: (at: RollbackBed, bed: Bed, where: Record<string, unknown>) => Promise<void>,
) {
  return onBed({profile: '2.5'}, async (bed) => {
    const at = await RollbackBed.open(bed)
    await bed.client.duplicate('t')
    const load = keepWriting(bed)
    await sleep(bed.clock, 5000)
    await trouble(at, bed)
    await sleep(bed.clock, 5000)
    try {
      await body(at, bed, {...root, targetCluster: 'onebox2', targetMetas: at.target.metas})
    } finally {
      await load.stop()
    }
  })
}

const dropped = async ({target}: RollbackBed, {client}: Bed) => {
  await client.meta(target, metaCalls.dropApp, {appName: 't', options: {successIfNotExist: false}})
}

const metasAway = async ({target}: RollbackBed) => {
  for (const index of target.metaServers.keys()) await target.killMeta(index)
}

async function status(at: RollbackBed, {clock}: Bed) {
  const signal = new AbortController().signal
  const query = {
    proxies: [],
    sourceMetas: at.source.metas,
    table: 't',
    targetCluster: 'onebox2',
    targetMetas: at.target.metas,
    ...root,
  }
  const world = {...at.world(), clock}
  return readStatus(query, world, signal)
}

describe('rollback whose copy is gone', () => {
  it(
    'says at once how the copy comes back, or that it may be given up, and denies nothing',
    onShippingTable(dropped, async (at, bed, where) => {
      const tableId = at.target.state.tables.keys().next().value
      for (const briefDeny of [false, true]) {
        const startMs = bed.clock.nowMs()
        const effects: string[] = []
        const kept = await at.rollback(
          {...where, briefDeny},
          {onEvent: (event) => event.type === 'effect' && effects.push(event.effect.kind)},
        )
        assert.equal(kept.outcome, 'duplication-kept', JSON.stringify(kept))
        assert.deepEqual(effects, [])
        assert.ok(bed.clock.nowMs() - startMs < 20_000)
        assert.match(kept.found.join(' '), /onebox2 has no table of that name any more/)
        assert.match(kept.next!, new RegExp(`on onebox2: recall ${tableId} t, and run the same command`))
        assert.match(kept.next!, /--copy-is-gone/)
        assert.equal(at.deny(), undefined)
        assert.equal(await bed.client.status('t'), DuplicationStatus.DS_LOG)
      }
    }),
  )

  it(
    'ends with --copy-is-gone in a table that nothing is left of',
    onShippingTable(dropped, async (at, bed, where) => {
      const before = await status(at, bed)
      assert.equal(before.tables[0]?.state, 'target-missing')
      assert.match(before.tables[0]!.next.command!.join(' '), /table:migrate-rollback .*--copy-is-gone$/)
      const result = await at.rollback({...where, copyIsGone: true})
      assert.equal(result.outcome, 'rolled-back', JSON.stringify(result))
      assert.match(result.warnings.join(' '), /given up.*2\.5/)
      assert.match(result.steps[1]!.summary, /removed and forgotten; what it had left to ship is given up/)
      assert.equal(await bed.client.status('t'), undefined)
      assert.equal(at.deny(), undefined)
      assert.equal((await status(at, bed)).tables[0]?.state, 'idle')
    }),
  )

  it(
    'goes on as ever once the copy was recalled',
    onShippingTable(dropped, async (at, bed, where) => {
      const appId = at.target.state.tables.keys().next().value!
      await bed.client.meta(at.target, metaCalls.recallApp, {appId, newAppName: ''})
      await sleep(bed.clock, 30_000)
      const result = await at.rollback({...where, briefDeny: true})
      assert.equal(result.outcome, 'rolled-back', JSON.stringify(result))
      assert.equal(await bed.client.status('t'), undefined)
    }),
  )

  it(
    'refuses --copy-is-gone where the copy is there',
    onShippingTable(
      async () => {},
      async (at, bed, where) => {
        const result = await at.rollback({...where, copyIsGone: true})
        assert.equal(result.outcome, 'refused')
        assert.equal(result.error?.code, 'rollback.copy_is_there')
        assert.equal(await bed.client.status('t'), DuplicationStatus.DS_LOG)
      },
    ),
  )

  it(
    'denies nothing for a target that cannot be reached, and gives it up when told so',
    onShippingTable(metasAway, async (at, bed, where) => {
      await Promise.all(at.target.servers.map(({address}) => at.target.killServer(address)))
      await sleep(bed.clock, 10_000)
      const kept = await at.rollback({...where, briefDeny: true})
      assert.equal(kept.outcome, 'duplication-kept', JSON.stringify(kept))
      assert.match(kept.steps[1]!.summary, /onebox2 cannot be reached/)
      assert.match(kept.next!, /When onebox2 answers again.*--copy-is-gone/)
      const result = await at.rollback({...where, copyIsGone: true})
      assert.equal(result.outcome, 'rolled-back', JSON.stringify(result))
      assert.equal(await bed.client.status('t'), undefined)
    }),
  )

  it(
    'denies nothing for a copy that refuses what is shipped, and says which env it is',
    onShippingTable(
      async (at, bed) => {
        await bed.client.setEnv(at.target, 't', 'replica.deny_client_request', 'reconfig*write')
        await sleep(bed.clock, 31_000)
      },
      async (at, _, where) => {
        const kept = await at.rollback({...where, briefDeny: true})
        assert.equal(kept.outcome, 'duplication-kept', JSON.stringify(kept))
        assert.match(kept.next!, /on onebox2: use t; del_app_envs replica\.deny_client_request/)
        assert.equal(at.deny(), undefined)
      },
    ),
  )
})
