import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import {metaErrorName} from '../../src/lib/pegasus/meta-client.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {type Bed, nameSource, withNodes} from './bed.js'

const BATCH_BYTES = 'duplicate_log_batch_bytes'
const DENY_ENV = 'replica.deny_client_request'

/** A new table of 8 partitions with all its replicas, and a metaproxy node that names the source. */
export async function createOwnTable(bed: Bed, table: string): Promise<void> {
  await bed.source.createTable({envs: {}, name: table, partitionCount: 8, replicaCount: 3})
  await nameSource(bed, table)
  await until(bed, 'all replicas', () => isComplete(bed, table))
}

/** Waits on the bed's clock. @throws AssertionError with `evidence` after `limitMs` */
export async function until(
  bed: Bed,
  what: string,
  done: () => boolean | Promise<boolean>,
  {evidence = () => '', limitMs = 120_000}: {evidence?(): string; limitMs?: number} = {},
): Promise<void> {
  const startMs = bed.clock.nowMs()
  while (!(await done())) {
    assert.ok(bed.clock.nowMs() - startMs < limitMs, `not there after ${limitMs / 1000} s: ${what}\n${evidence()}`)
    await sleep(bed.clock, 200)
  }
}

/** A new table has its primaries after 5 to 9 s, and all replicas after 15 to 30 s (measured.md §0). */
async function isComplete(bed: Bed, table: string): Promise<boolean> {
  try {
    const {partitions} = await bed.source.configuration(table)
    return partitions.every(({primary, secondaries}) => primary !== null && secondaries.length === 2)
  } catch (error) {
    if (metaErrorName(error) !== 'ERR_BUSY_CREATING') throw error
    return false
  }
}

/** The batch size of each living source server. */
export async function batchBytes(bed: Bed): Promise<Map<string, string | undefined>> {
  const alive = (await bed.source.nodes()).filter((node) => node.alive)
  const values = alive.map(
    async ({address}) => [address, await bed.source.server(address).config(BATCH_BYTES)] as const,
  )
  return new Map(await Promise.all(values))
}

/** The cluster that the table's metaproxy node names. */
export async function namedCluster(bed: Bed, table: string): Promise<string> {
  const {bytes} = await withNodes(bed, (nodes) => nodes.get(`${bed.root}/${table}`))
  return (JSON.parse(bytes.toString()) as {cluster_name: string}).cluster_name
}

/** What every finished migration must have left behind, read from the clusters. */
export async function assertFinished(
  bed: Bed,
  table: string,
  before: Awaited<ReturnType<typeof batchBytes>>,
): Promise<void> {
  const [source, target] = await Promise.all([bed.source.table(table), bed.target.table(table)])
  assert.equal(source?.envs.get(DENY_ENV), 'reconfig*all', 'the source refuses everyone')
  assert.deepEqual(
    [...target!.envs.keys()].filter((key) => key === DENY_ENV || key.startsWith('duplication.')),
    [],
  )
  await assertNoDuplication(bed, table, before)
  assert.equal(await namedCluster(bed, table), bed.targetCluster)
}

/** No server knows of a duplication of the table any more, and ships as it did before. */
export async function assertNoDuplication(
  bed: Bed,
  table: string,
  before: Awaited<ReturnType<typeof batchBytes>>,
): Promise<void> {
  assert.deepEqual(await bed.source.duplications(table), [])
  const {appId} = (await bed.source.table(table))!
  for (const {address, alive} of await bed.source.nodes()) {
    if (!alive) continue
    const server = bed.source.server(address)
    assert.equal(await server.config(BATCH_BYTES), before.get(address), `${BATCH_BYTES} of ${address} is as it was`)
    assert.deepEqual((await server.duplicationStates(appId)).states, [])
  }
}

/** Leaves a real bed as it was; the load has ended. */
export async function removeOwnTable(bed: Bed, table: string): Promise<void> {
  for (const cluster of [bed.source, bed.target]) {
    if (!(await cluster.table(table))) continue
    const entries = await cluster.duplications(table)
    // Removed while something is shipped it can crash a server (measured.md §14).
    if (entries.length > 0) await sleep(bed.clock, 30_000)
    for (const {dupid} of entries) {
      await cluster.modifyDuplication(table, dupid, {status: DuplicationStatus.DS_REMOVED})
    }
  }

  // Servers must have forgotten a duplication before its table is dropped (measured.md §14); locks below the node end too.
  await sleep(bed.clock, 40_000)
  await withNodes(bed, (nodes) => nodes.remove(`${bed.root}/${table}`)).catch((error: unknown) => {
    if (!(error instanceof Error && error.name === 'NO_NODE')) throw error
  })
  for (const cluster of [bed.source, bed.target]) {
    if (await cluster.table(table)) await cluster.dropTable(table, {reserveSeconds: 60})
  }
}
