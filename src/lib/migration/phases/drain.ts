import {sleep} from '../../clock.js'
import {MigratorError} from '../../errors.js'
import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import {factsOf, type MigrationContext, type Phase} from '../context.js'
import {DENY_ENV} from '../effects-live.js'
import type {Progress} from '../events.js'
import {allowedEmptyWrites, type Fence, grownFences, readFences} from '../proof/fence.js'
import {movedPrimaries, readPrimaries} from '../proof/primaries.js'
import {notShipping, shortList} from '../proof/shipping.js'
import {BATCH_BYTES, batchingServers} from '../settings.js'
import {timersOf} from '../timers.js'
import {mayPass} from '../wait.js'
import {requireLog, shippingOf} from './catch-up.js'
import {proveDeny} from './deny.js'
import {findEntry} from './duplicate.js'
import {whileLooking} from './last-look.js'

const POLL_MS = 200
/** How often the deny env itself is looked at. */
const ENV_EVERY_MS = 2000
const SHORT_SILENCE_MS = 400
/** The drain of 2.4/2.5 takes one to two group checks after the last write (measured.md §3), then some. */
const DRAIN_MARGIN_MS = 30_000
/**
 * So long after a primary began to refuse, in-flight prepares and the write queue have come to rest (protocol.md §4.3, step 2).
 * A mutation whose log write hangs on a slow disk is not in the fence of 2.4/2.5, and if it comes later, alone, nothing tells it
 * from an empty write. Up to a group check costs nothing: the empty write that lets the last mutation go takes one to two.
 */
const LONG_SETTLE_MS = 10_000
const SHORT_SETTLE_MS = 3000
/** The fences of master count what is being logged. */
const MASTER_SETTLE_MS = 1000

/** Waits until everything that was accepted is on the target, proved by decrees, then stops all shipping. */
export const drain: Phase = {
  id: 'drain',
  async observe() {
    return {done: false}
  },
  steps: [
    {title: 'wait until everything accepted is on the target', wait: waitUntilDrained},
    {act: (context) => whileLooking(context, stopShipping), title: 'stop shipping'},
  ],
  summarize({state}) {
    const {drainedAtMs, provedAtMs} = state.window
    const tookMs = drainedAtMs === undefined || provedAtMs === undefined ? 0 : drainedAtMs - provedAtMs
    return `${state.drained.size} partitions are on the target up to their fence, ${(tookMs / 1000).toFixed(1)} s after the proof`
  },
}

/** Thrown inside a drain when a primary moved: the deny is proved again and new fences are taken. */
class PrimaryMoved extends Error {
  constructor(readonly partitions: number[]) {
    super(`partitions ${shortList(partitions)} moved`)
  }
}

async function waitUntilDrained(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {clock, request, state} = context
  const groupCheckMs = timersOf(context.state).groupCheckMs
  const limitMs = request.limits.drainMs ?? 2 * groupCheckMs + DRAIN_MARGIN_MS
  const startMs = clock.nowMs()
  for (;;) {
    try {
      const pass = new DrainPass(context, report, startMs, limitMs, groupCheckMs)
      state.drained = await pass.run()
      state.window.drainedAtMs = clock.wallMs()
      return
    } catch (error) {
      if (!(error instanceof PrimaryMoved)) throw error
      // F stays valid over a failover, but the new primary may have been opened without the deny (protocol.md §13).
      report({text: `partitions ${shortList(error.partitions)} have a new primary: the deny is proved again`})
      const proof = await proveDeny(context, report)
      state.denied = proof.primaries
    }
  }
}

/** One attempt to drain with primaries that stay where they are. */
class DrainPass {
  private envSeenMs = Number.NEGATIVE_INFINITY
  private readonly fences: Map<number, Fence> = new Map()
  /** When each fence was first read after its partition's writes had come to rest. */
  private readonly finalAtMs: Map<number, number> = new Map()

  constructor(
    private readonly context: MigrationContext,
    private readonly report: (progress: Progress) => void,
    private readonly startMs: number,
    private readonly limitMs: number,
    private readonly groupCheckMs: number,
  ) {}

  async run(): Promise<Map<number, Fence>> {
    const {clock, signal, state} = this.context
    await this.takeFences((primaries) => this.refuseMoved(primaries, state.denied))
    for (;;) {
      if (clock.nowMs() - this.envSeenMs >= ENV_EVERY_MS) await this.requireDenyEnv()
      const waiting = await this.look(() => this.behind())
      const settled = this.isSettled()
      // Read again while it settles, and whenever all has arrived.
      if (!settled || waiting === 0) {
        const grew = await this.takeFences((primaries) => this.refuseMoved(primaries, this.fences))
        if (settled && waiting === 0 && !grew) {
          await this.requireStillDenied()
          await this.requireOrder()
          return this.fences
        }
      }

      if (clock.nowMs() - this.startMs > this.limitMs) throw await this.notDrained()
      await sleep(clock, POLL_MS, signal)
    }
  }

  /**
   * Reads the fences and raises those that grew by more than empty writes can explain.
   * @returns whether any was raised
   */
  private async takeFences(checkPrimaries: (now: Map<number, Fence>) => void): Promise<boolean> {
    const {clock} = this.context
    const readAtMs = clock.nowMs()
    const {request, signal, source} = this.context
    const {generation} = factsOf(this.context).source
    const now = await this.look(() => readFences(source, request.table, signal, generation))
    checkPrimaries(now)
    const grown = grownFences(this.fences, now, (partition) => this.allowance(partition, readAtMs))
    for (const fence of grown) {
      this.fences.set(fence.partitionIndex, fence)
      // What may grow by empty writes alone is counted from this reading.
      this.finalAtMs.delete(fence.partitionIndex)
    }

    for (const {partitionIndex} of now.values()) {
      if (!this.finalAtMs.has(partitionIndex) && this.restsSince(partitionIndex) <= readAtMs) {
        this.finalAtMs.set(partitionIndex, readAtMs)
      }
    }

    return grown.length > 0
  }

  private isSettled(): boolean {
    return this.finalAtMs.size === this.fences.size
  }

  /** When a partition's writes that were under way at the deny have come to rest. */
  private restsSince(partition: number): number {
    const {generation} = factsOf(this.context).source
    const settleMs =
      generation === 'master'
        ? MASTER_SETTLE_MS
        : Math.max(SHORT_SETTLE_MS, Math.min(LONG_SETTLE_MS, this.groupCheckMs))
    return (this.context.state.denied.get(partition)?.sinceMs ?? 0) + settleMs
  }

  /**
   * Growth that is no client's mutation. Until a fence was read after the writes had come to rest, none (an empty write
   * among them only costs time); afterwards what a group check writes. On master nothing rests unshipped, so that nothing need be allowed.
   */
  private allowance(partition: number, nowMs: number): number {
    const finalAtMs = this.finalAtMs.get(partition)
    if (finalAtMs === undefined || factsOf(this.context).source.generation === 'master') return 0
    return allowedEmptyWrites(nowMs - finalAtMs, this.groupCheckMs)
  }

  /** Partitions whose target has not acknowledged the fence yet. */
  private async behind(): Promise<number> {
    const {context} = this
    await requireLog(context)
    const view = await shippingOf(context, true)
    this.refuseMoved(view.primaries, this.fences)
    const trouble = notShipping(view)
    let behind = 0
    let worst: {fence: Fence; missing: number} | undefined
    for (const fence of this.fences.values()) {
      const shipping = view.partitions.get(fence.partitionIndex)
      const missing = shipping ? fence.decree - shipping.shippedDecree : Number.POSITIVE_INFINITY
      if (missing <= 0) continue
      behind++
      if (!worst || missing > worst.missing) worst = {fence, missing}
    }

    const {state} = context
    this.report({
      deniedForMs: context.clock.wallMs() - (state.window.setAtMs ?? context.clock.wallMs()),
      partitionCount: this.fences.size,
      partitionsDone: this.fences.size - behind,
      text: trouble ?? this.explain(behind),
      ...(worst
        ? {worst: `partition ${worst.fence.partitionIndex} on ${worst.fence.server}: ${worst.missing} mutations to go`}
        : {}),
    })
    return trouble === undefined ? behind : Math.max(1, behind)
  }

  private explain(behind: number): string {
    if (behind === 0) return 'everything accepted is on the target'
    const {generation} = factsOf(this.context).source
    if (generation === 'master') return `${behind} partitions are shipping their last mutations`
    return `${behind} partitions wait for the empty write that lets their last mutation go (group check each ${this.groupCheckMs / 1000} s)`
  }

  private refuseMoved(now: Parameters<typeof movedPrimaries>[1], before: Parameters<typeof movedPrimaries>[0]): void {
    const moved = movedPrimaries(before, now)
    if (moved.length > 0) throw new PrimaryMoved(moved)
  }

  /** One look that bears passing trouble until the drain's limit. */
  private async look<T>(read: () => Promise<T>): Promise<T> {
    const {clock, signal} = this.context
    for (;;) {
      try {
        return await read()
      } catch (error) {
        signal.throwIfAborted()
        if (!mayPass(error)) throw error
        if (clock.nowMs() - this.startMs > this.limitMs) throw await this.notDrained(error)
        this.report({text: `waiting: ${error.message}`})
        await sleep(clock, POLL_MS * 5, signal)
      }
    }
  }

  /**
   * The same primaries with the same ballots must still refuse. The deny was proved before, and a server forgets it only
   * when the env goes or when it restarts (then the ballot changes): so a short silence will do here.
   */
  private async requireStillDenied(): Promise<void> {
    await this.requireDenyEnv()
    const proof = await proveDeny(this.context, this.report, SHORT_SILENCE_MS)
    this.refuseMoved(proof.primaries, this.fences)
  }

  /** Without it writes are accepted again, and the drain would wait in vain for them to end. */
  private async requireDenyEnv(): Promise<void> {
    const {clock, request, signal, source} = this.context
    const table = await this.look(() => source.table(request.table, {signal}))
    if (table?.envs.get(DENY_ENV) !== `${request.denyMode}*write`) {
      throw new MigratorError(
        'deny.taken_back',
        `somebody took the write-deny off ${request.table} while it was drained`,
        {
          next: 'Find out who did. Writes are allowed; the duplication is kept and the same command goes on from here.',
        },
      )
    }

    this.envSeenMs = clock.nowMs()
  }

  /** A primary whose server restarted since the deny has shipped its last mutations in batches. */
  private async requireOrder(): Promise<void> {
    const {context} = this
    const servers = new Set([...this.fences.values()].map(({server}) => server))
    const batching = await this.look(() => batchingServers(context, [...servers]))
    if (batching.length === 0) return
    context.state.fullVerifyBecause = `${BATCH_BYTES} was not 0 on ${batching.join(', ')} during the drain`
    throw new MigratorError('batching.returned', `${context.state.fullVerifyBecause}: all rows must be compared`, {
      next: 'Writes are allowed again. The same command goes on from here and compares all rows.',
    })
  }

  private async notDrained(cause?: unknown): Promise<MigratorError> {
    const entry = await findEntry(this.context)
    return new MigratorError(
      'drain.limit',
      `${this.context.request.table}: not everything accepted was on the target after ${Math.round(this.limitMs / 1000)} s of waiting; duplication ${entry.dupid} is in ${DuplicationStatus[entry.status]}`,
      {cause, next: 'Writes are allowed again. See that the target keeps up, then run the same command again.'},
    )
  }
}

/**
 * A new source primary ships the last mutations again and overwrites what clients have written to the target since
 * (product.md, lesson 14). So nothing may ship after the switch: the duplication is paused, and the primaries must be
 * the ones that were drained; otherwise it ships again and is drained anew.
 */
async function stopShipping(context: MigrationContext): Promise<void> {
  const {effects, request, signal, source, state} = context
  for (;;) {
    await context.guard?.assertMine()
    state.paused = true
    await effects.perform({dupid: state.dupid, kind: 'pause-duplication'}, signal)
    if (context.dryRun) return
    const entry = await findEntry(context)
    if (entry.status !== DuplicationStatus.DS_PAUSE) {
      throw new MigratorError(
        'drain.not_paused',
        `duplication ${state.dupid} is in ${DuplicationStatus[entry.status]} after it was paused`,
      )
    }

    const {primaries} = await readPrimaries(source, request.table, signal)
    const moved = movedPrimaries(state.drained, primaries)
    if (moved.length === 0) return
    context.emit({
      code: 'drain.moved',
      message: `partitions ${shortList(moved)} have a new primary: drained once more`,
      type: 'warning',
    })
    await effects.perform({dupid: state.dupid, kind: 'resume-duplication'}, signal)
    state.paused = false
    const report = (progress: Progress) =>
      context.emit({phase: 'drain', progress, step: 'drain once more', type: 'progress'})
    await waitUntilDrained(context, report)
  }
}
