import {plural} from '../../../plural.js'
import {AppStatus} from '../../../rpc/structs/table.js'
import type {Check, PreflightFacts, ServerFacts} from '../check.js'
import {askedServers} from '../clusters.js'
import {error, everyone, groupedBy, listed, ok, skipped, warning} from '../wording.js'

const sourceTable: Check = {
  id: 'source-table',
  needs: ['source.table'],
  run({request, source}) {
    const {appId, appType, isStateful, maxReplicaCount, partitionCount, status} = source.table
    if (status !== AppStatus.AS_AVAILABLE) {
      return error(
        `${request.table} (table id ${appId}) is ${AppStatus[status] ?? status}`,
        'wait until it is AS_AVAILABLE',
      )
    }

    if (appType !== 'pegasus' || !isStateful) {
      const kind = `of type ${appType}, ${isStateful ? 'stateful' : 'stateless'}`
      return error(`${request.table} (table id ${appId}) is ${kind}`, 'only stateful pegasus tables can be duplicated')
    }

    const size = `${plural(partitionCount, 'partition')}, ${plural(maxReplicaCount, 'replica')} each`
    return ok(`${request.table} is available: table id ${appId}, ${size}`)
  },
  title: 'the table exists and is available',
}

const tableHealthy: Check = {
  id: 'table-healthy',
  needs: ['source.table', 'source.configuration', 'source.nodes'],
  run({source}) {
    const dead = new Set(source.nodes.filter(({alive}) => !alive).map(({address}) => address))
    const {partitions} = source.configuration
    const headless = partitions.filter(({primary}) => primary === null || dead.has(primary))
    if (headless.length > 0) {
      return error(
        `without a living primary: partition ${listed(headless.map(({pid}) => pid.partitionIndex))}`,
        'wait until the metas have assigned primaries, or start the dead servers',
      )
    }

    const wanted = source.table.maxReplicaCount
    const thin = partitions.filter(
      ({secondaries}) => secondaries.filter((s) => s !== null && !dead.has(s)).length < wanted - 1,
    )
    if (thin.length > 0) {
      return error(
        `fewer than ${plural(wanted, 'living replica')}: partition ${listed(thin.map(({pid}) => pid.partitionIndex))}`,
        'wait until the metas have added the missing secondaries (in steps of 10 s), or start the dead servers',
      )
    }

    return ok(`${plural(partitions.length, 'partition')}, each with its primary and ${everyone(wanted, 'replica')}`)
  },
  title: 'every partition has a primary and all its secondaries',
}

const partitionSplit: Check = {
  id: 'partition-split',
  needs: ['source.table', 'source.configuration'],
  run({source}) {
    const {initPartitionCount, partitionCount} = source.table
    const unborn = source.configuration.partitions.filter(({ballot}) => ballot < 0)
    if (unborn.length > 0 || source.configuration.partitionCount !== partitionCount) {
      return error(
        `the table is being split to ${plural(partitionCount, 'partition')}; not there yet: ${listed(unborn.map(({pid}) => pid.partitionIndex))}`,
        'wait until the split has ended, or cancel it',
      )
    }

    const past = initPartitionCount > 0 && initPartitionCount < partitionCount
    return ok(
      past ? `no split under way; split before from ${initPartitionCount} to ${partitionCount}` : 'no split under way',
    )
  },
  title: 'the table is not being split',
}

const bulkLoad: Check = {
  id: 'bulk-load',
  needs: ['source.table'],
  run({source}) {
    if (!source.table.isBulkLoading) return ok('no bulk load under way')
    return error(
      'a bulk load is under way: it is not duplicated, and 2.4 and 2.5 servers abort when they meet it in the log',
      'wait until the bulk load has ended, or cancel it',
    )
  },
  title: 'no bulk load is under way',
}

const dataVersion: Check = {
  id: 'data-version',
  needs: ['source.table', 'source.configuration'],
  run(facts) {
    const silent = facts.source.servers.filter(({dataVersions}) => !dataVersions)
    const wrong = askedServers(facts).flatMap((server) => wrongVersions(server))
    const [first] = wrong
    if (first) {
      return error(
        `not support migrate table with data_version = ${first.version} by duplication: found on ${listed(wrong.map((w) => w.where))}`,
        'copy the data into a new table (its data version is 1) and migrate that: a table is never converted in place',
      )
    }

    const missing = askedServers(facts).flatMap(({address, dataVersions, replicaOf}) =>
      dataVersions
        ? replicaOf.filter((index) => !dataVersions.has(index)).map((index) => `partition ${index} on ${address}`)
        : [],
    )
    if (silent.length > 0 || missing.length > 0) {
      const unread = silent.map(
        ({address, failures, unreachable}) =>
          `${address}: ${failures.get('data-version')?.message ?? unreachable ?? ''}`,
      )
      return error(
        `the data version is not known of ${listed([...missing, ...unread], 3)}`,
        'every replica must say 1: repair the servers and try again',
      )
    }

    const replicas = askedServers(facts).reduce((sum, {dataVersions}) => sum + (dataVersions?.size ?? 0), 0)
    return ok(
      `${plural(replicas, 'replica')} on ${plural(facts.source.servers.length, 'server')}, all with data version 1`,
    )
  },
  title: 'every replica has data version 1',
}

function wrongVersions({address, dataVersions}: ServerFacts): Array<{version: string; where: string}> {
  return [...(dataVersions ?? [])]
    .filter(([, version]) => version !== '1')
    .map(([index, version]) => ({version, where: `partition ${index} of ${address}`}))
}

/** Younger than this, replicas may not have been written to at all (protocol.md §3.12). */
const YOUNG_SECONDS = 30

const emptyPartitions: Check = {
  id: 'empty-partitions',
  needs: ['source.table', 'source.configuration'],
  run(facts) {
    const {source} = facts
    if (source.generation === 'master') return skipped('master copies empty partitions too')
    const silent = askedServers(facts).filter(({primaryOf, replicas}) => primaryOf.length > 0 && !replicas)
    const empty = emptyPrimaries(facts)
    const remedy =
      'nothing: the migration lets the source make a checkpoint (replica.trigger-checkpoint) when one hangs in DS_APP'
    if (empty.length > 0) {
      return warning(
        `without a checkpoint yet (last durable decree 0): partition ${listed(empty)}; they may hang in DS_APP`,
        remedy,
      )
    }

    const ageSeconds = Math.round(facts.gatheredAtMs / 1000 - source.table.createSecond)
    if (ageSeconds < YOUNG_SECONDS) {
      return warning(
        `the table is ${ageSeconds} s old: partitions may still be empty and hang in DS_APP`,
        `wait ${YOUNG_SECONDS} s, or: ${remedy}`,
      )
    }

    if (silent.length > 0) {
      const reasons = groupedBy(
        silent,
        ({failures}) => failures.get('replicas')?.message ?? 'no answer',
        ({address}) => address,
      )
      return warning(`not known whether partitions are empty: ${reasons}`, remedy)
    }

    return ok('every partition has a durable decree above 0')
  },
  title: 'no partition is still empty',
  unread: 'warning',
}

function emptyPrimaries({source}: PreflightFacts): number[] {
  return source.servers
    .flatMap(({primaryOf, replicas}) =>
      (replicas ?? [])
        .filter(({lastDurableDecree, pid}) => lastDurableDecree === 0 && primaryOf.includes(pid.partitionIndex))
        .map(({pid}) => pid.partitionIndex),
    )
    .sort((a, b) => a - b)
}

export const tableChecks = [sourceTable, tableHealthy, partitionSplit, bulkLoad, dataVersion, emptyPartitions]
