import {formatSeconds} from '../../durations.js'
import {messageOf, MigratorError} from '../../errors.js'
import {plural} from '../../plural.js'
import {factsOf, type MigrationContext, type Step} from '../context.js'
import {clockTime, nextOpening, type Opening, windowLengthMs} from '../cutover-window.js'
import type {Progress} from '../events.js'
import {lowerSyncInterval, restSyncInterval} from '../fast-cutover.js'
import {notShipping, pendingMutations, worstPartition} from '../proof/shipping.js'
import {defaultLimits} from '../request.js'
import {timersOf} from '../timers.js'
import {waitUntil} from '../wait.js'
import {keepSettings, requireLog, shippingOf} from './catch-up.js'

const POLL_MS = 1000
const SETTINGS_EVERY_MS = 10_000
/** A cutover that is further away needs no short config sync yet. */
const FAR_MS = 15 * 60_000
/** On top of two old intervals, from which on the config sync is shortened before the window opens. */
const LEAD_MS = 60_000

/** Stays caught up, writes allowed, until a person says so and the cutover window is open (docs/hold.md). */
export const hold: Step = {
  title: 'stay caught up until told',
  async wait(context, report) {
    const {clock, request, state} = context
    const desk = state.released ? undefined : context.holdDesk
    const {cutoverWindow: window, maxWriteDenyMs: needMs} = request
    if (!desk && !window) return
    const ended = new AbortController()
    const holding = new Holding(context, report)
    const forget = window && (await context.noteWindow?.({needMs, sinceMs: clock.wallMs(), window}))
    try {
      await desk?.open(AbortSignal.any([context.signal, ended.signal]))
      await holding.wait()
      if (desk) state.released = true
    } finally {
      ended.abort(new Error('it is held no longer'))
      await forget?.()
      await desk?.close()
    }
  },
}

/**
 * Between the hold and the deny some steps wait for servers.
 * @throws MigratorError `hold.window_over`, which another attempt gets over, when no cutover is sure to end in the window any more
 */
export function requireOpenWindow({clock, request}: MigrationContext): void {
  const {cutoverWindow, maxWriteDenyMs} = request
  if (!cutoverWindow) return
  const opening = nextOpening(cutoverWindow, clock.wallMs(), maxWriteDenyMs)
  if (opening && opening.opensAtMs <= clock.wallMs()) return
  throw new MigratorError(
    'hold.window_over',
    `the cutover window of ${request.table} was over before the servers were ready`,
    {
      next: 'Nothing was denied. The same command goes on from here.',
    },
  )
}

interface Look {
  caughtUp: boolean
  lagMutations: number
  opening: Opening | undefined
  released: boolean
  trouble: string | undefined
  worst: string | undefined
}

class Holding {
  private settingsAtMs: number
  private releasedBy: string | undefined

  constructor(
    private readonly context: MigrationContext,
    private readonly report: (progress: Progress) => void,
  ) {
    this.settingsAtMs = context.clock.nowMs()
    if (context.state.released || !context.holdDesk) this.releasedBy = 'nobody'
  }

  async wait(): Promise<void> {
    const {clock, request, signal} = this.context
    const limitMs = request.limits.holdMs ?? defaultLimits.holdMs
    this.refuseShortWindow()
    try {
      await waitUntil<Look>({
        clock,
        describe: (look) => this.text(look),
        done: ({caughtUp, opening, released}) => released && caughtUp && this.isOpen(opening),
        intervalMs: POLL_MS,
        limitMs,
        observe: () => this.look(),
        onProgress: (look) =>
          this.report({
            ...(look.opening && !this.isOpen(look.opening) ? {etaMs: look.opening.opensAtMs - clock.wallMs()} : {}),
            lagMutations: look.lagMutations,
            text: this.text(look),
            ...(look.worst === undefined ? {} : {worst: look.worst}),
          }),
        onTrouble: (error) => this.report({text: `held; waiting: ${error.message}`}),
        signal,
        stage: 'hold',
      })
    } catch (error) {
      if (!(error instanceof MigratorError) || error.code !== 'wait.limit') throw error
      throw new MigratorError(
        'hold.limit',
        `${request.table} was held for ${formatSeconds(limitMs)}, and nobody let it cut over`,
        {
          cause: error,
          next: 'Nothing was denied; the duplication is kept, and the same command goes on from here. A longer hold is --hold-limit.',
        },
      )
    }
  }

  private async look(): Promise<Look> {
    const {context} = this
    const {clock, request} = context
    const {generation} = factsOf(context).source
    await requireLog(context)
    await this.fitInterval()
    if (clock.nowMs() - this.settingsAtMs >= SETTINGS_EVERY_MS) {
      this.settingsAtMs = clock.nowMs()
      await keepSettings(context)
    }

    const view = await shippingOf(context, false)
    this.releasedBy ??= await this.askDesk()
    const lagMutations = pendingMutations(view, generation)
    const trouble = notShipping(view)
    return {
      caughtUp: lagMutations <= request.thresholdMutations && trouble === undefined,
      lagMutations,
      opening: this.opening(),
      released: this.releasedBy !== undefined,
      trouble,
      worst: worstPartition(view),
    }
  }

  /** A file that cannot be read holds on: only its end releases. */
  private async askDesk(): Promise<string | undefined> {
    try {
      return await this.context.holdDesk!.releasedBy()
    } catch (error) {
      this.report({text: `held; whether it is released cannot be read: ${messageOf(error)}`})
      return undefined
    }
  }

  private opening(): Opening | undefined {
    const {clock, request} = this.context
    return request.cutoverWindow && nextOpening(request.cutoverWindow, clock.wallMs(), request.maxWriteDenyMs)
  }

  private isOpen(opening: Opening | undefined): boolean {
    return (
      this.context.request.cutoverWindow === undefined ||
      (opening?.opensAtMs ?? Infinity) <= this.context.clock.wallMs()
    )
  }

  /** Short only while a cutover may come soon: each sync costs the meta something. */
  private async fitInterval(): Promise<void> {
    const {context} = this
    const opening = this.opening()
    if (!opening) return
    const leftMs = opening.opensAtMs - context.clock.wallMs()
    const {fast} = context.state
    if (fast && leftMs > FAR_MS) return restSyncInterval(context)
    if (fast || leftMs > 2 * timersOf(context.state).configSyncMs + LEAD_MS) return
    await lowerSyncInterval(context)
  }

  private refuseShortWindow(): void {
    const {cutoverWindow, maxWriteDenyMs} = this.context.request
    if (!cutoverWindow || windowLengthMs(cutoverWindow) >= maxWriteDenyMs) return
    throw new MigratorError(
      'hold.window',
      `the cutover window is shorter than --max-write-deny: no cutover of ${this.context.request.table} fits into it`,
      {next: 'Nothing was denied. Say a longer --cutover-window, or a smaller --max-write-deny.'},
    )
  }

  private text({caughtUp, lagMutations, opening, released, trouble}: Look): string {
    const {context} = this
    const pending = trouble ?? `${plural(lagMutations, 'mutation')} pending`
    if (!released) return `held, writes are allowed; ${pending}. To cut over: ${context.holdDesk!.ways.join(', or ')}`
    if (opening && !this.isOpen(opening)) {
      return `waiting until the cutover window opens at ${clockTime(opening.opensAtMs)} local time, writes are allowed; ${pending}`
    }

    return caughtUp ? `released; ${pending}` : `released, and waiting until it has caught up again; ${pending}`
  }
}
