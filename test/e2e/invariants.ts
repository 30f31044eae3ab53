import assert from 'node:assert/strict'

import type {MigrationResult} from '../../src/lib/migration/index.js'
import {verifyOn, withNodes} from './bed.js'
import {type Scene, told} from './scene.js'

export const DENY_ENV = 'replica.deny_client_request'

/**
 * What must be true whenever a run has ended by itself (product.md, I1 to I5): the node names the side that serves and
 * nothing else; writes work there and nowhere else; every write that was acknowledged is there; no server was brought
 * down; the metas were never asked by HTTP; and after a migration nothing of it is left but the source's `reconfig*all`.
 */
export async function assertInvariants(scene: Scene, result: MigrationResult): Promise<void> {
  const {bed, load, source, table, target} = scene
  const migrated = result.outcome === 'migrated'
  await scene.untilWritable()
  await load?.stop()

  const serves = migrated || result.outcome === 'switched-unfinished' ? target : source
  assert.equal((await nodeOf(scene)).cluster_name, serves.name, told(result))
  if (load) {
    const {checked, lost, stale} = await verifyOn(bed, serves === target ? bed.target : bed.source, table, load)
    assert.ok(checked > 10, `only ${checked} keys were written`)
    assert.deepEqual({lost, stale}, {lost: [], stale: []}, told(result))
  }

  for (const {aborted, address} of [...source.servers, ...target.servers]) {
    assert.equal(aborted, undefined, `${address} went down: ${aborted}`)
  }

  assertMetasNotAskedByHttp(scene)
  if (migrated) await assertFinished(scene)
  else if (result.outcome !== 'switched-unfinished') assertTakenBack(scene)
}

export async function nodeOf(scene: Scene): Promise<{cluster_name: string; meta_addrs: string}> {
  const {bytes} = await withNodes(scene.bed, (nodes) => nodes.get(scene.nodePath))
  const node: {cluster_name: string; meta_addrs: string} = JSON.parse(bytes.toString())
  assert.deepEqual(Object.keys(node).sort(), ['cluster_name', 'meta_addrs'])
  assert.ok(node.meta_addrs.split(',').length >= 2, `metaproxy refuses one address: ${node.meta_addrs}`)
  return node
}

/** Nothing denies writes, and no server is left with a shortened config sync. */
function assertTakenBack({source, table}: Scene): void {
  assert.equal(source.table(table).info.envs.get(DENY_ENV), undefined, 'the deny was taken back')
  for (const server of source.servers) {
    assert.equal(server.config.number('config_sync_interval_ms'), source.spec.flags.config_sync_interval_ms)
  }
}

/** What a migration leaves behind: the source's copy, which refuses everyone, and nothing else. */
async function assertFinished({source, table, target}: Scene): Promise<void> {
  const [{info}, copy] = [source.table(table), target.table(table).info]
  assert.equal(info.envs.get(DENY_ENV), 'reconfig*all', 'the source refuses everyone')
  assert.equal(info.duplicating, false)
  assert.deepEqual(source.state.duplications.of(info.appId), [])
  assert.deepEqual(
    [...copy.envs.keys()].filter((key) => key === DENY_ENV || key.startsWith('duplication.')),
    [],
  )
  for (const server of source.servers.filter(({alive}) => alive)) {
    const {flags} = source.spec
    assert.equal(server.config.number('duplicate_log_batch_bytes'), flags.duplicate_log_batch_bytes)
    assert.equal(server.config.number('config_sync_interval_ms'), flags.config_sync_interval_ms)
    assert.ok(
      server.replicas.every(({duplicators}) => duplicators.size === 0),
      `${server.address} has forgotten it`,
    )
  }
}

/** On 2.5 a follower's HTTP answers from an empty state, and one path kills it (measured.md §0). */
function assertMetasNotAskedByHttp({asked, source, target}: Scene): void {
  const metas = new Set([...source.metas, ...target.metas])
  for (const [call, addresses] of asked) {
    if (!call.startsWith('GET ')) continue
    assert.deepEqual(
      [...addresses].filter((address) => metas.has(address)),
      [],
      `${call} of a meta`,
    )
  }
}
