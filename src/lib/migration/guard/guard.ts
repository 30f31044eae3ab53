import type {Clock} from '../../clock.js'
import {sleep} from '../../clock.js'
import {messageOf} from '../../errors.js'
import type {MigrationContext} from '../context.js'
import {DENY_ENV} from '../effects-live.js'
import {restoreSyncInterval} from '../fast-cutover.js'
import {undo} from '../undo.js'
import {mayPass} from '../wait.js'
import type {GuardChannel, GuardStatus} from './channel.js'

/** A driver that has not beaten for so long is dead, stopped or cut off from its disk. */
export const SILENT_DRIVER_MS = 5000
const POLL_MS = 500
/** After it lifted the deny the guard stays so long, for a driver that wakes up and denies once more. */
const LINGER_MS = 120_000

export interface GuardOptions {
  channel: GuardChannel
  clock: Clock
  /** A context of its own: connections, journal and effects; `state` says that the deny may be set. */
  context: MigrationContext
  pid: number
  signal: AbortSignal
}

/** How the guard's watch ended. */
export type GuardEnd = 'dismissed' | 'lifted' | 'switched'

/**
 * Watches over a cutover. It goes by heartbeats, not by the driver's death: a stopped driver may wake up. Before it lifts the deny it
 * takes the commit away from the driver (`undo` does that for a node; the claim does it for the operator's word), and
 * it never lifts what names the target.
 */
export async function guardCutover(options: GuardOptions): Promise<GuardEnd> {
  const {clock, signal} = options
  const watch = new Watch(options)
  await watch.tell('watching', 'the driver beats')
  let acted: GuardEnd | undefined
  let lingerUntilMs = Number.POSITIVE_INFINITY
  for (;;) {
    signal.throwIfAborted()
    const sight = await watch.look()
    if (sight === 'dismissed') {
      await watch.tell('gone', 'the driver said that it is no longer needed')
      return 'dismissed'
    }

    if (sight === 'silent' && (acted === undefined || (await watch.denyIsBack()))) {
      acted = await watch.act()
      if (acted === 'switched') return acted
      lingerUntilMs = clock.nowMs() + LINGER_MS
    }

    if (acted !== undefined && clock.nowMs() > lingerUntilMs) return acted
    await sleep(clock, POLL_MS, signal)
  }
}

class Watch {
  private beat: {atMs: number; count: number | undefined}
  private readonly sinceMs: number

  constructor(private readonly options: GuardOptions) {
    this.beat = {atMs: options.clock.nowMs(), count: undefined}
    this.sinceMs = options.clock.wallMs()
  }

  /** Takes the deny back, and stays at it until that is proved; ZooKeeper unreachable: never lift, keep trying. */
  async act(): Promise<GuardEnd> {
    const {clock, context, signal} = this.options
    await this.tell('acting', `the driver has been silent for ${SILENT_DRIVER_MS / 1000} s: the deny is taken back`)
    if (!(await this.claim())) {
      await this.tell('switched', 'the operator gave the word that applications move: nothing is lifted')
      return 'switched'
    }

    for (;;) {
      context.state.denySet = true
      context.state.paused = true
      context.state.commit = context.store ? 'uncertain' : 'none'
      const result = await undo(context, {
        limitMs: Number.POSITIVE_INFINITY,
        reason: 'the guard heard nothing from the driver',
        signal,
      })
      if (result.state === 'switched') {
        await this.tell('switched', 'the node names the target: nothing is lifted')
        return 'switched'
      }

      if (result.state === 'writable') {
        await this.tell('lifted', `every primary accepts writes again${await this.restore()}`)
        return 'lifted'
      }

      await this.tell('alarmed', result.reason)
      await sleep(clock, POLL_MS * 4, signal)
    }
  }

  /** @returns whether the cutover is the guard's to decide; insists, because a full disk must not leave writes denied */
  private async claim(): Promise<boolean> {
    const {channel, clock, context, signal} = this.options
    for (;;) {
      try {
        return await channel.claim('guard')
      } catch (error) {
        // With a node its version decides between guard and driver; without one nothing else does.
        if (context.store) return true
        await this.tell('alarmed', messageOf(error))
        await sleep(clock, POLL_MS * 4, signal)
      }
    }
  }

  /** @returns what could not be put back, for the status */
  private async restore(): Promise<string> {
    const {context, signal} = this.options
    try {
      await restoreSyncInterval(context, signal)
      return ''
    } catch (error) {
      signal.throwIfAborted()
      return `; the config sync interval could not be put back: ${messageOf(error)}`
    }
  }

  /** Whether a driver that woke up has denied writes once more. */
  async denyIsBack(): Promise<boolean> {
    const {request, source} = this.options.context
    try {
      const table = await source.table(request.table, {signal: this.options.signal})
      return table?.envs.get(DENY_ENV) === `${request.denyMode}*write`
    } catch (error) {
      if (!mayPass(error)) throw error
      return false
    }
  }

  async look(): Promise<'beating' | 'dismissed' | 'silent'> {
    const {channel, clock} = this.options
    // A beat that cannot be read is one that was not heard.
    const seen = await channel.readBeat().catch(() => undefined)
    if (seen?.stage === 'dismissed') return 'dismissed'
    if (seen && seen.count !== this.beat.count) this.beat = {atMs: clock.nowMs(), count: seen.count}
    return clock.nowMs() - this.beat.atMs > SILENT_DRIVER_MS ? 'silent' : 'beating'
  }

  async tell(state: GuardStatus['state'], text: string): Promise<void> {
    const {channel, context, pid} = this.options
    // A full disk must not keep the guard from lifting the deny: each of the two is told if it can be.
    const told = await Promise.allSettled([
      channel.tell({pid, sinceMs: this.sinceMs, state, text}),
      context.journal?.write({kind: 'guard', state, text}),
    ])
    for (const result of told) {
      if (result.status === 'fulfilled') continue
      context.emit({code: 'journal.write_failed', message: messageOf(result.reason), type: 'warning'})
    }
  }
}
