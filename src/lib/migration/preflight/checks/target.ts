import {plural} from '../../../plural.js'
import {DuplicationStatus} from '../../../rpc/structs/duplication.js'
import {shellQuote} from '../../../shell-quote.js'
import {strangers} from '../addresses.js'
import type {Check, PreflightFacts} from '../check.js'
import {
  duplicationName,
  duplicationsToTarget,
  isResume,
  namesOf,
  nodeNamesTarget,
  ownDuplication,
  whyTargetMayServe,
} from '../clusters.js'
import {confirm, error, listed, named, ok, skipped, warning} from '../wording.js'

const targetCluster: Check = {
  id: 'target-cluster',
  needs: ['source.info', 'target.info'],
  run(facts) {
    const {request, source, target} = facts
    const name = duplicationName(target)
    const shared = namesOf(target).filter((other) => namesOf(source).includes(other))
    if (shared.length > 0) {
      return error(
        `source and target are both called ${listed(shared)}: a duplication from a cluster to itself is refused`,
        'name the metas of the other cluster with --meta; two clusters of one name cannot duplicate to each other',
      )
    }

    if (request.targetCluster !== name) {
      const other =
        target.info.clusterName === name
          ? ''
          : ` (its cluster_name is ${target.info.clusterName}; dup_cluster_name counts here)`
      return error(
        `--cluster says ${request.targetCluster}, but the cluster behind --meta is ${name}${other}`,
        `use --cluster ${name}, or other metas`,
      )
    }

    return ok(`the cluster behind --meta is ${name}`)
  },
  title: 'the target is the cluster that was named',
}

const targetMetas: Check = {
  id: 'target-metas',
  needs: ['target.info'],
  run(facts) {
    const {request, target} = facts
    const {clusterName, metaServers, primaryMetaServer} = target.info
    const foreign = target.metas.filter(({dump}) => dump && dump.get('replication', 'cluster_name') !== clusterName)
    if (foreign.length > 0) {
      const found = foreign.map(
        ({address, dump}) => `${address} (${dump!.get('replication', 'cluster_name') ?? 'no name'})`,
      )
      return error(`not metas of ${clusterName}: ${listed(found)}`, 'name the metas of one cluster only with --meta')
    }

    const silent = target.metas.filter(({dump}) => !dump)
    const unknown = silent.filter(({address, given}) => given && strangers(facts, [address], metaServers).length > 0)
    if (unknown.length > 0) {
      return error(
        `${named(unknown)} does not answer, and ${clusterName} does not name it as its meta`,
        'correct --meta: these addresses go into the metaproxy node',
      )
    }

    if (silent.length > 0) {
      const reasons = silent.map(({address, error: silence}) => `${address} (${silence?.message ?? ''})`)
      return warning(
        `metas of ${clusterName} that do not answer: ${listed(reasons)}`,
        'start them before the applications depend on this cluster',
      )
    }

    const left = strangers(facts, metaServers, request.targetMetas)
    if (left.length > 0) {
      return warning(
        `${clusterName} has more metas than --meta names: ${listed(left)}`,
        'name them all with --meta: metaproxy knows only those that are written into its node',
      )
    }

    return ok(`${clusterName}, led by ${primaryMetaServer}, metas ${listed(request.targetMetas)}`)
  },
  title: "the target's metas belong to one cluster and answer",
}

/** The copy was made before. */
const SHIPPING: ReadonlySet<DuplicationStatus> = new Set([DuplicationStatus.DS_LOG, DuplicationStatus.DS_PAUSE])

const targetTable: Check = {
  id: 'target-table',
  needs: ['source.info', 'source.table', 'source.duplications', 'target.table'],
  run(facts) {
    const {request, source, target} = facts
    const {table} = target
    const [entry] = duplicationsToTarget(facts)
    if (!table && entry && SHIPPING.has(entry.status) && !facts.ownHandOver && !nodeNamesTarget(facts)) {
      return error(
        `the target has no table ${request.table}, and duplication ${entry.dupid} ships to it: somebody dropped the copy`,
        `recall the copy on the target, or begin anew: pegasus table:migrate-rollback -t ${shellQuote(request.table)} --copy-is-gone`,
      )
    }

    if (!table && nodeNamesTarget(facts)) {
      return error(
        `the metaproxy node names the target, and it has no table ${request.table}: clients are sent to what is not there`,
        'find out who dropped it, and recall it on the target',
      )
    }

    if (!table) {
      return ok(
        entry
          ? `the target has no table ${request.table} yet: the duplication will create it`
          : `the target has no table ${request.table}`,
      )
    }

    const found = `the target has a table ${request.table} (table id ${table.appId})`
    if (isResume(facts) && nodeNamesTarget(facts)) return ok(`ours: ${found}, and the metaproxy node names it already`)
    if (!request.metaproxy && facts.ownHandOver) return ok(`ours: ${found}, and it was handed over already`)
    const master = table.envs.get('duplication.master_cluster')
    const follows = master !== undefined && namesOf(source).includes(master)
    const mayServe = whyTargetMayServe(facts)
    if ((!entry || !follows) && mayServe !== undefined) {
      return error(
        `${found}, and ${mayServe}: it may well be what the applications use`,
        `drop nothing; if it serves, the source is to be closed: in the Pegasus shell there, use ${request.table}; set_app_envs replica.deny_client_request reconfig*all. Where the table stands: pegasus table:migrate-status -t ${shellQuote(request.table)}`,
      )
    }

    if (!entry || !follows) {
      const origin = follows
        ? 'left behind by a duplication that is gone'
        : master
          ? `a follower of ${master}`
          : 'made by somebody else, or the copy that a rollback has kept'
      return error(
        `${found}, ${origin}: a new duplication would stay in DS_PREPARE for ever`,
        `make sure that nobody needs it, then drop it on the target: drop ${request.table}`,
      )
    }

    if (table.partitionCount !== source.table.partitionCount) {
      return error(
        `${found} with ${plural(table.partitionCount, 'partition')}, the source has ${source.table.partitionCount}: rows would end in wrong partitions`,
        'remove the duplication, drop the target table and migrate anew',
      )
    }

    const whose = entry === ownDuplication(facts) ? 'ours: ' : ''
    return ok(`${whose}${found} that follows ${master} by duplication ${entry.dupid}`)
  },
  title: 'the target has no table of this name yet',
}

const targetServers: Check = {
  id: 'target-servers',
  needs: ['source.table', 'target.info', 'target.nodes'],
  run({source, target}) {
    const wanted = source.table.maxReplicaCount
    if (wanted === 1 && source.generation !== 'master') {
      return error(
        `the table has one replica: on ${source.generation} its duplication would stay in DS_APP for ever, waiting for a secondary`,
        'raise the replica count of the source table first (set_replica_count)',
      )
    }

    const dump = target.metas.find((meta) => meta.dump)?.dump
    const [min, max] = ['min', 'max'].map((end) =>
      Number(dump?.get('meta_server', `${end}_allowed_replica_count`) ?? Number.NaN),
    )
    if (wanted < min! || wanted > max!) {
      return error(
        `the table has ${plural(wanted, 'replica')}, the target allows ${min} to ${max}`,
        'change [meta_server] *_allowed_replica_count of the target, or the table',
      )
    }

    const alive = target.nodes.filter((node) => node.alive)
    const dead = target.nodes.filter((node) => !node.alive).map(({address}) => address)
    if (alive.length < wanted) {
      return error(
        `the target has ${plural(alive.length, 'living server')}, the table needs ${wanted}${dead.length > 0 ? `; dead: ${listed(dead)}` : ''}`,
        'start or add replica servers on the target',
      )
    }

    const limits = Number.isNaN(max) ? '' : `, replica counts of ${min} to ${max} allowed`
    if (dead.length > 0)
      return warning(
        `${plural(alive.length, 'living server')} for ${plural(wanted, 'replica')}${limits}; dead: ${listed(dead)}`,
        'start them or take them out',
      )
    return ok(`${plural(alive.length, 'living server')} for ${plural(wanted, 'replica')}${limits}`)
  },
  title: 'the target has enough living servers',
}

const targetMetaLevel: Check = {
  id: 'target-meta-level',
  needs: ['target.info'],
  run({target}) {
    const level = target.info.metaFunctionLevel
    if (level === 'steady' || level === 'lively') return ok(level)
    return error(
      `the level is ${level || 'not told'}: the target's metas refuse to create the table (ERR_STATE_FREEZED), and the duplication waits for ever`,
      'set it to steady on the target: set_meta_level steady',
    )
  },
  title: "the target's metas may create tables",
}

/** Room that should be left over after the copy, as a share of it. */
const SPARE = 1

const targetDisk: Check = {
  id: 'target-disk',
  needs: ['target.nodes', 'source.table'],
  run(facts) {
    const {source, target} = facts
    const told = target.servers.filter(({freeMb}) => freeMb !== undefined)
    const sizes = source.servers.filter(({tableMb}) => tableMb !== undefined)
    if (told.length === 0 || sizes.length < source.servers.length) {
      return skipped('not known: the servers did not tell the size of the table or their free room')
    }

    const neededMb = sum(sizes.map(({tableMb}) => tableMb!))
    const freeMb = sum(told.map((server) => server.freeMb!))
    const figures = `the table takes ${Math.round(neededMb)} MB with all replicas; ${plural(told.length, 'target server has', 'target servers have')} ${Math.round(freeMb)} MB free${silentOf(facts)}`
    const remedy = 'make room on the target, or add servers'
    if (freeMb < neededMb) return confirm(figures, remedy)
    return freeMb < neededMb * (1 + SPARE) ? warning(figures, remedy) : ok(figures)
  },
  title: 'the target has room for the table',
  unread: 'skipped',
}

function silentOf({target}: PreflightFacts): string {
  const silent = target.servers.filter(({alive, freeMb}) => alive && freeMb === undefined)
  return silent.length > 0 ? `, not told by ${named(silent)}` : ''
}

const sum = (figures: number[]) => figures.reduce((total, figure) => total + figure, 0)

export const targetChecks = [targetCluster, targetMetas, targetTable, targetServers, targetMetaLevel, targetDisk]
