import {sleep} from '../../clock.js'
import {MigratorError} from '../../errors.js'
import {factsOf, type MigrationContext, type PrimaryAt} from '../context.js'
import {DENY_ENV} from '../effects-live.js'
import type {Progress} from '../events.js'
import type {Fence} from '../proof/fence.js'
import {readFences} from '../proof/fence.js'
import {FenceBook} from '../proof/fence-book.js'
import {byServer, movedPrimaries, readPrimaries} from '../proof/primaries.js'
import {ServerPipeline} from '../proof/server-pipeline.js'
import {listed, notShipping} from '../proof/shipping.js'
import {BATCH_BYTES, batchingServers} from '../settings.js'
import {timersOf} from '../timers.js'
import {mayPass} from '../wait.js'
import {requireLog, shippingOf} from './catch-up.js'
import {statusInWords, whyNotDrained} from './drain-reasons.js'
import {StillDenied} from './still-denied.js'

/** How often the metas are asked where the primaries are, what became of the duplication, and what was reported. */
const TABLE_EVERY_MS = 1000
/** How often the deny env itself is looked at. */
const ENV_EVERY_MS = 2000
const RETRY_MS = 1000
const REPORT_EVERY_MS = 200
/** How long the last look may take as a whole. */
const FRESH_MS = 5000

/** Thrown inside a drain when a primary moved: the deny is proved again and new fences are taken. */
export class PrimaryMoved extends Error {
  constructor(readonly partitions: number[]) {
    super(`${listed('partition', partitions)} moved`)
  }
}

/** One attempt to drain with primaries that stay where they are: each partition on its own, then all of them once more. */
export class DrainPass {
  /** When the last partition was first seen to have shipped up to its fence; wall clock, ms. */
  shippedSeenAtMs: number | undefined
  private readonly book: FenceBook
  private envSeenMs = Number.NEGATIVE_INFINITY
  private reportedMs = Number.NEGATIVE_INFINITY
  private trouble: string | undefined

  /** @param endMs until when at the latest, `Clock.nowMs` */
  constructor(
    private readonly context: MigrationContext,
    private readonly report: (progress: Progress) => void,
    private readonly endMs: number,
  ) {
    const {clock, state} = context
    this.book = new FenceBook({
      clock,
      denied: state.denied,
      generation: factsOf(context).source.generation,
      groupCheckMs: timersOf(state).groupCheckMs,
    })
  }

  async run(): Promise<Map<number, Fence>> {
    const {clock, request, signal, source, state} = this.context
    const stillDenied = new StillDenied(this.context, this.report)
    try {
      const {configuration, primaries} = await this.look(() => readPrimaries(source, request.table, signal))
      this.refuseMoved(primaries, state.denied)
      for (;;) {
        await this.shipEverything(configuration.appId, primaries)
        this.shippedSeenAtMs = Math.round(clock.wallMs() - clock.nowMs() + this.book.shippedSeenMs)
        if (await this.isProved(stillDenied)) return this.book.fences
      }
    } finally {
      stillDenied.stop()
    }
  }

  /** Follows every server by itself, until all of its partitions have shipped what was accepted. */
  private async shipEverything(appId: number, primaries: ReadonlyMap<number, PrimaryAt>): Promise<void> {
    const {context} = this
    const {dupid} = context.state
    const ending = new AbortController()
    const signal = AbortSignal.any([context.signal, ending.signal])
    const {generation} = factsOf(context).source
    const working = [...byServer(primaries.values())].map(([address, expected]) => {
      const server = context.source.server(address)
      const pipeline = new ServerPipeline({
        appId,
        book: this.book,
        clock: context.clock,
        dupid,
        expected,
        generation,
        server,
        signal,
      })
      return pipeline.run(
        (read) => this.look(read, signal),
        () => this.tell(),
      )
    })
    const watching = this.watchTable(signal)
    try {
      await Promise.race([Promise.all(working), watching])
    } finally {
      ending.abort(new Error('the drain has ended'))
      await Promise.allSettled([...working, watching])
    }
  }

  /** What only the metas tell, as long as it lasts. @throws when something is wrong, or the time is over */
  private async watchTable(signal: AbortSignal): Promise<void> {
    const {context} = this
    const {clock, request, source} = context
    for (;;) {
      if (clock.nowMs() - this.envSeenMs >= ENV_EVERY_MS) await this.requireDenyEnv()
      await this.look(() => requireLog(context), signal)
      const {primaries} = await this.look(() => readPrimaries(source, request.table, signal), signal)
      this.refuseMoved(primaries, context.state.denied)
      if (clock.nowMs() > this.endMs) throw await this.notDrained()
      this.tell()
      await sleep(clock, TABLE_EVERY_MS, signal)
    }
  }

  /** One look at everything, after all has arrived: whatever was accepted later than the fences raises them here. */
  private async isProved(stillDenied: StillDenied): Promise<boolean> {
    const {context} = this
    const {clock, request, signal, source} = context
    await this.look(() => requireLog(context))
    const view = await this.look(() => shippingOf(context, true))
    this.refuseMoved(view.primaries, context.state.denied)
    this.trouble = notShipping(view)
    for (const shipping of view.partitions.values()) this.book.shipped(shipping)
    const readAtMs = clock.nowMs()
    const {generation} = factsOf(context).source
    const fences = await this.look(() => readFences(source, request.table, signal, generation))
    this.refuseMoved(fences, context.state.denied)
    const grew = this.book.note(fences.values(), readAtMs)
    if (grew || this.trouble !== undefined || this.book.behind.length > 0) {
      await this.rest()
      return false
    }

    const startMs = clock.nowMs()
    const [, proof] = await Promise.all([this.requireDenyEnv(), stillDenied.prove(), this.requireOrder()])
    this.refuseMoved(proof, this.book.fences)
    // One of them may have waited for a server that does not answer; what the others saw is not so any more, perhaps.
    if (clock.nowMs() - startMs > FRESH_MS) {
      await this.rest()
      return false
    }

    context.state.denySeenAtMs = startMs
    return true
  }

  /** Before everything is looked at once more. */
  private async rest(): Promise<void> {
    const {clock, signal} = this.context
    if (clock.nowMs() > this.endMs) throw await this.notDrained()
    this.tell()
    await sleep(clock, REPORT_EVERY_MS, signal)
  }

  private tell(): void {
    const {book, context} = this
    const {clock, state} = context
    if (clock.nowMs() - this.reportedMs < REPORT_EVERY_MS) return
    this.reportedMs = clock.nowMs()
    const {behind, lagMutations, worst} = book
    const latestMs = book.latestMs
    this.report({
      deniedForMs: clock.wallMs() - (state.window.setAtMs ?? clock.wallMs()),
      ...(latestMs === undefined ? {} : {etaMs: Math.max(0, latestMs - clock.nowMs())}),
      ...(lagMutations === undefined ? {} : {lagMutations}),
      partitionCount: book.partitionCount,
      partitionsDone: book.partitionCount - behind.length,
      text: this.trouble ?? book.explain(clock.wallMs() - clock.nowMs()),
      ...(worst ? {worst} : {}),
    })
  }

  private refuseMoved(now: Parameters<typeof movedPrimaries>[1], before: Parameters<typeof movedPrimaries>[0]): void {
    const moved = movedPrimaries(before, now)
    if (moved.length > 0) throw new PrimaryMoved(moved)
  }

  /** One look that bears passing trouble until the drain's limit. */
  private async look<T>(read: () => Promise<T>, signal = this.context.signal): Promise<T> {
    const {clock} = this.context
    for (;;) {
      try {
        return await read()
      } catch (error) {
        signal.throwIfAborted()
        if (!mayPass(error)) throw error
        if (clock.nowMs() > this.endMs) throw await this.notDrained(error)
        this.report({text: `waiting: ${error.message}`})
        await sleep(clock, RETRY_MS, signal)
      }
    }
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
    if (context.state.fullVerifyBecause !== undefined) {
      throw new MigratorError('shipping.doubtful', `${context.state.fullVerifyBecause}: all rows must be compared`, {
        next: 'Writes are allowed again. The same command goes on from here and compares all rows.',
      })
    }

    const servers = new Set([...this.book.fences.values()].map(({server}) => server))
    const batching = await this.look(() => batchingServers(context, [...servers]))
    if (batching.length === 0) return
    context.state.fullVerifyBecause = `${BATCH_BYTES} was not 0 on ${batching.join(', ')} during the drain`
    throw new MigratorError('batching.returned', `${context.state.fullVerifyBecause}: all rows must be compared`, {
      next: 'Writes are allowed again. The same command goes on from here and compares all rows.',
    })
  }

  private async notDrained(cause?: unknown): Promise<MigratorError> {
    const {book, context} = this
    const [status, because] = await Promise.all([statusInWords(context), whyNotDrained(context)])
    const last = this.trouble ?? ([book.explain(0), book.worst].filter(Boolean).join('; ') || 'nothing could be read')
    return new MigratorError(
      'drain.limit',
      `${context.request.table}: not everything accepted was on the target within the time of the drain; ${status}; last seen: ${last}${because === '' ? '' : `; ${because}`}`,
      {cause, next: 'Writes are allowed again. See that the target keeps up, then run the same command again.'},
    )
  }
}
