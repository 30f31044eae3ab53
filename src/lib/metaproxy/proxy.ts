import {isMigratorError, MigratorError} from '../errors.js'
import {metaCalls} from '../rpc/calls.js'
import type {ConnectionPool} from '../rpc/pool.js'

/** What a metaproxy tells clients about a table. */
export interface ProxyAnswer {
  appId: number
  partitionCount: number
  /** `host:port` in order of partition; partitions without a primary are left out. */
  primaries: string[]
}

export interface ProxyLimits {
  signal?: AbortSignal
  /** Default 5 s. */
  timeoutMs?: number
}

/** What metaproxy means by an error of its answer (protocol.md §9, measured.md §0 and §8). */
const MEANINGS: Record<string, {code: string; meaning: string}> = {
  ERR_INVALID_DATA: {
    code: 'metaproxy.invalid_data',
    meaning: "the table's node is not valid JSON, or names fewer than two meta addresses",
  },
  ERR_OBJECT_NOT_FOUND: {
    code: 'metaproxy.no_table',
    meaning: 'there is no node for the table under its root, or the cluster that the node names has no such table',
  },
  ERR_ZOOKEEPER_OPERATION: {code: 'metaproxy.no_zookeeper', meaning: 'it cannot read its ZooKeeper'},
}

/**
 * Asks one metaproxy where a table is, as clients do. A proxy whose ZooKeeper session once expired goes on to answer
 * with the old cluster for ever (measured.md §8), so each one must be asked after a switch.
 * @throws MigratorError
 *   `metaproxy.no_table`, `metaproxy.invalid_data`, `metaproxy.no_zookeeper`, `metaproxy.error`: it answered so;
 *   `metaproxy.no_answer`: connected and silent, as when it cannot reach the metas that the node names;
 *   `rpc.connect` and the other errors of `ConnectionPool.call`
 */
export async function queryProxy(
  pool: ConnectionPool,
  address: string,
  table: string,
  {signal, timeoutMs = 5000}: ProxyLimits = {},
): Promise<ProxyAnswer> {
  const answer = await ask(pool, address, table, {idempotent: true, signal, timeoutMs})
  if (answer.err !== 'ERR_OK') {
    const {code, meaning} = MEANINGS[answer.err] ?? {code: 'metaproxy.error', meaning: 'it does not say why'}
    throw new MigratorError(code, `metaproxy ${address} answers ${answer.err} for ${table}: ${meaning}`, {
      facts: {address, err: answer.err, table},
      retrySafe: true,
    })
  }

  const partitions = [...answer.partitions].sort((a, b) => a.pid.partitionIndex - b.pid.partitionIndex)
  return {
    appId: answer.appId,
    partitionCount: answer.partitionCount,
    primaries: partitions.flatMap(({primary}) => (primary === null ? [] : [primary])),
  }
}

async function ask(
  pool: ConnectionPool,
  address: string,
  table: string,
  options: {idempotent: boolean; signal?: AbortSignal; timeoutMs: number},
) {
  try {
    return await pool.call(address, metaCalls.queryConfig, {appName: table, partitionIndices: []}, options)
  } catch (error) {
    if (!isMigratorError(error, 'rpc.timeout')) throw error
    const {timeoutMs} = options
    throw new MigratorError(
      'metaproxy.no_answer',
      `metaproxy ${address} did not answer for ${table} in ${timeoutMs} ms`,
      {
        cause: error,
        facts: {address, table, timeoutMs},
        next: 'check that it is a metaproxy, and that it can reach the metas that the node of the table names',
        retrySafe: true,
      },
    )
  }
}
