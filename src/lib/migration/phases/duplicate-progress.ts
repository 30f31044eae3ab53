import {formatSeconds} from '../../durations.js'
import {MigratorError} from '../../errors.js'
import {metaErrorName} from '../../pegasus/meta-client.js'
import {plural} from '../../plural.js'
import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import {factsOf, type MigrationContext, type PrimaryAt} from '../context.js'
import {refuseFailMode} from '../doubt.js'
import type {Progress} from '../events.js'
import {namesOf} from '../preflight/clusters.js'
import {movedPrimaries, readPrimaries} from '../proof/primaries.js'
import {listed, notShipping, readShipping, type ShippingView, shortList} from '../proof/shipping.js'
import {ensureNoBatching, ensureSteady, hostingServers, keepOrder} from '../settings.js'
import {TickWatch} from '../tick-phases.js'
import {waitUntil} from '../wait.js'
import {distrustMoved, findEntry} from './duplicate.js'
import {lowerSyncInterval, watchMeta} from '../fast-cutover.js'
import {etaMs, slowStage} from './slow-stage.js'

const POLL_MS = 1000
/** How often settings that a restart would undo are looked at again. */
const SETTINGS_EVERY_MS = 10_000
/** How long the follower may be incomplete before its empty partitions are suspected (measured.md §14). */
const EMPTY_PARTITION_MS = 30_000
const CHECKPOINT_EVERY_MS = 60_000
/**
 * In PREPARE with our own follower there for so long: its creation's answer was lost, and 2.4/2.5 never get over that.
 * Otherwise DS_APP comes as soon as the answer does, or with the next tries, 10 s apart.
 */
const LOST_CREATE_MS = 60_000

interface Seen {
  /** Partitions of the follower that have a primary, and those that also have a secondary. */
  followerPrimaries: number
  followerComplete: number
  followerExists: boolean
  partitionCount: number
  status: DuplicationStatus
  view?: ShippingView
  withoutPrimary: number[]
}

/** Waits until the duplication is in DS_LOG and every primary ships. */
export async function waitForShipping(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {clock, request, signal} = context
  const watch = new Watch(context)
  await waitUntil<Seen>({
    clock,
    describe,
    done: (seen) => seen.view !== undefined && notShipping(seen.view) === undefined,
    intervalMs: POLL_MS,
    limitMs: request.limits.duplicateMs,
    observe: () => watch.look(),
    onProgress: (seen) => report(watch.progress(seen)),
    onTrouble: (error) => report({text: `waiting: ${error.message}`}),
    signal,
    stage: `duplication of ${request.table}`,
    stall: {
      figure: (seen) =>
        `${seen.status} ${seen.followerPrimaries} ${seen.followerComplete} ${seen.view?.unreported.length ?? ''}`,
      limitMs: request.limits.stallMs,
      async onStall(seen, stalledForMs) {
        const unseen = seen && (await watch.movesUnseen(seen))
        if (!unseen) throw stalled(context, seen, stalledForMs)
        report({...watch.progress(seen), text: unseen})
      },
    },
  })
}

class Watch {
  private checkpointAtMs = 0
  /** Whether the config sync was shortened, or cannot be. */
  private lowered = false
  /** Since when the follower was there while the duplication was in PREPARE. */
  private followerSinceMs: number | undefined
  private settingsAtMs: number
  private readonly ticks: TickWatch
  private stage: {sinceMs: number; status: DuplicationStatus | undefined} = {sinceMs: 0, status: undefined}

  constructor(private readonly context: MigrationContext) {
    this.settingsAtMs = context.clock.nowMs()
    this.ticks = new TickWatch(context, context.state.addedAtMs)
  }

  async look(): Promise<Seen> {
    const {context} = this
    const {clock, request, signal, source, state} = context
    const entry = await findEntry(context)
    if (entry.status === DuplicationStatus.DS_PAUSE) {
      throw new MigratorError(
        'duplicate.paused',
        `somebody else paused duplication ${state.dupid} of ${request.table} to ${request.targetCluster} while it was being set up`,
        {next: 'Find out who did. Nothing was denied; running the same command again lets it go on.'},
      )
    }

    if (entry.status !== this.stage.status) this.stage = {sinceMs: clock.nowMs(), status: entry.status}
    const {primaries} = await readPrimaries(source, request.table, signal)
    if (entry.status !== DuplicationStatus.DS_LOG) this.refuseMoved(primaries)
    // First, so that their syncs are seen as exactly as they can be.
    await this.ticks.look(primaries)
    await this.keepSettings(entry.status)
    const follower = await this.lookAtFollower()
    const seen: Seen = {...follower, partitionCount: primaries.size, status: entry.status}
    await this.lowerEarly(seen)
    if (entry.status === DuplicationStatus.DS_PREPARE) await this.refuseLostCreate(seen)
    if (entry.status === DuplicationStatus.DS_APP) await this.helpEmptyPartitions(seen)
    if (entry.status === DuplicationStatus.DS_LOG) {
      await refuseFailMode(context, entry)
      distrustMoved(context, primaries)
      seen.view = await readShipping({
        cluster: source,
        decrees: false,
        dupid: state.dupid,
        generation: factsOf(context).source.generation,
        signal,
        table: request.table,
      })
    }

    return seen
  }

  /** What moves although no figure of ours does, in a sentence, or undefined. */
  movesUnseen(seen: Seen): Promise<string | undefined> {
    const {context, stage} = this
    return slowStage(context, seen.status, context.clock.nowMs() - stage.sinceMs, seen.withoutPrimary)
  }

  progress(seen: Seen): Progress {
    const inStageMs = this.context.clock.nowMs() - this.stage.sinceMs
    const shipping = seen.view ? [...seen.view.partitions.values()].filter(({duplicating}) => duplicating).length : 0
    const done = seen.status === DuplicationStatus.DS_APP ? seen.followerPrimaries : shipping
    return {
      etaMs: etaMs(seen.status, inStageMs),
      partitionCount: seen.partitionCount,
      partitionsDone: done,
      text: describe(seen),
    }
  }

  /** A new primary's checkpoint may be older than what is shipped from: a silent hole (protocol.md §3.12). */
  private refuseMoved(primaries: Map<number, PrimaryAt>): void {
    const {ballotsAtAdd, dupid} = this.context.state
    if (!ballotsAtAdd) return
    const before = new Map([...primaries].map(([index, at]) => [index, {...at, ballot: ballotsAtAdd[index] ?? -1}]))
    const moved = movedPrimaries(before, primaries)
    if (moved.length === 0) return
    throw new MigratorError(
      'duplicate.primary_moved',
      `${listed('partition', moved)} of ${this.context.request.table} changed primary before the checkpoint was copied; the copy may lack writes`,
      {
        facts: {dupid, partitions: moved.join(',')},
        next: 'The duplication is removed. Drop the copy on the target (if there is one), then run the same command again.',
      },
    )
  }

  /**
   * A shorter config sync counts only an old interval later. What is left to do takes about that long once the target's
   * primaries have copied their checkpoints, so that nobody waits for it afterwards, and the metas bear it no longer than they must.
   */
  private async lowerEarly({followerPrimaries, partitionCount, status}: Seen): Promise<void> {
    const isNear = status === DuplicationStatus.DS_APP && followerPrimaries === partitionCount
    if (this.lowered || !(isNear || status === DuplicationStatus.DS_LOG)) return
    await lowerSyncInterval(this.context)
    this.lowered = true
  }

  private async keepSettings(status: DuplicationStatus): Promise<void> {
    const {context} = this
    if (context.clock.nowMs() - this.settingsAtMs < SETTINGS_EVERY_MS) return
    this.settingsAtMs = context.clock.nowMs()
    await ensureSteady(context)
    if (context.state.fast) await lowerSyncInterval(context)
    await watchMeta(context)
    // Before DS_LOG nothing is shipped, so that nothing can be out of order.
    await (status === DuplicationStatus.DS_LOG ? keepOrder(context) : ensureNoBatching(context))
  }

  private async lookAtFollower(): Promise<Omit<Seen, 'partitionCount' | 'status' | 'view'>> {
    const {request, signal, target} = this.context
    try {
      const {partitions} = await target.configuration(request.table, {signal})
      const withoutPrimary = partitions.filter(({primary}) => primary === null).map(({pid}) => pid.partitionIndex)
      return {
        followerComplete: partitions.filter(({primary, secondaries}) => primary !== null && secondaries.length > 0)
          .length,
        followerExists: true,
        followerPrimaries: partitions.length - withoutPrimary.length,
        withoutPrimary,
      }
    } catch (error) {
      const name = metaErrorName(error)
      if (name !== 'ERR_OBJECT_NOT_FOUND' && name !== 'ERR_BUSY_CREATING') throw error
      return {
        followerComplete: 0,
        followerExists: name === 'ERR_BUSY_CREATING',
        followerPrimaries: 0,
        withoutPrimary: [],
      }
    }
  }

  private async refuseLostCreate(seen: Seen): Promise<void> {
    const {clock, request, signal, target} = this.context
    // The status was read before the follower was: one look between the creation and DS_APP proves nothing.
    this.followerSinceMs = seen.followerExists ? (this.followerSinceMs ?? clock.nowMs()) : undefined
    if (this.followerSinceMs === undefined || clock.nowMs() - this.followerSinceMs < LOST_CREATE_MS) return
    const table = await target.table(request.table, {signal})
    const ours = namesOf(factsOf(this.context).source).includes(table?.envs.get('duplication.master_cluster') ?? '')
    throw new MigratorError(
      'duplicate.target_exists',
      `the target has a table ${request.table} already${ours ? ', made by this duplication whose answer was lost' : ''}: the duplication stays in DS_PREPARE for ever, as the target's meta answers ERR_APP_EXIST at every try`,
      {
        facts: {targetTableId: table?.appId},
        next: `Drop ${request.table} on ${request.targetCluster} if nobody needs it; the duplication then goes on by itself. Then run the same command again.`,
      },
    )
  }

  /** A partition without any checkpoint cannot be copied on 2.4/2.5; triggering one mends it (product.md, lesson 10). */
  private async helpEmptyPartitions(seen: Seen): Promise<void> {
    const {clock, effects, signal, source} = this.context
    const nowMs = clock.nowMs()
    if (seen.withoutPrimary.length === 0 || nowMs - this.stage.sinceMs < EMPTY_PARTITION_MS) return
    if (this.checkpointAtMs !== 0 && nowMs - this.checkpointAtMs < CHECKPOINT_EVERY_MS) return
    const {appId} = factsOf(this.context).source.configuration
    const hosts = await hostingServers(this.context)
    const waiting = new Set(seen.withoutPrimary)
    const empty = await Promise.all(
      hosts.map(async (address) => {
        const replicas = await source.server(address).replicas({signal})
        return replicas.some(
          ({lastDurableDecree, pid}) =>
            pid.appId === appId && waiting.has(pid.partitionIndex) && lastDurableDecree <= 0,
        )
      }),
    )
    this.checkpointAtMs = nowMs
    for (const [index, server] of hosts.entries()) {
      if (empty[index]) await effects.perform({appId, kind: 'trigger-checkpoint', server}, signal)
    }
  }
}

function describe(seen: Seen): string {
  switch (seen.status) {
    case DuplicationStatus.DS_APP: {
      return `DS_APP: the target copies the checkpoint: ${seen.followerPrimaries} of ${plural(seen.partitionCount, 'partition')} with a primary, ${seen.followerComplete} with a secondary too`
    }

    case DuplicationStatus.DS_LOG: {
      return `DS_LOG: ${(seen.view && notShipping(seen.view)) ?? 'every primary ships its log'}`
    }

    default: {
      return `${DuplicationStatus[seen.status]}: the source makes its checkpoints, then creates the table on the target`
    }
  }
}

function stalled(context: MigrationContext, seen: Seen | undefined, stalledForMs: number): MigratorError {
  const {request} = context
  const time = formatSeconds(stalledForMs)
  if (!seen) {
    return new MigratorError('duplicate.stalled', `the duplication of ${request.table} could not be read for ${time}`, {
      next: 'See that the metas and the servers of both clusters answer. Nothing was denied; the same command goes on from here.',
    })
  }

  const which =
    seen.status === DuplicationStatus.DS_APP
      ? `partitions without a primary on ${request.targetCluster}: ${shortList(seen.withoutPrimary) || 'none; some lack a secondary'}`
      : describe(seen)
  const why =
    seen.status === DuplicationStatus.DS_PREPARE
      ? 'The source could not create the table on the target: are the target metas up and reachable from the source metas, above meta level freezed, with enough servers?'
      : 'Look at the logs of the servers named here; network between target servers and source servers (NFS) is the usual cause.'
  return new MigratorError(
    'duplicate.stalled',
    `${request.table}: nothing moved for ${time} in ${DuplicationStatus[seen.status]}; ${which}`,
    {
      facts: {
        dupid: context.state.dupid,
        status: DuplicationStatus[seen.status],
        withoutPrimary: seen.withoutPrimary.join(','),
      },
      next: `${why} The duplication is kept; the same command goes on from here.`,
    },
  )
}
