import type {Clock} from '../../clock.js'
import {sleep} from '../../clock.js'
import {messageOf} from '../../errors.js'
import type {LockNote} from '../../metaproxy/shared-lock.js'
import type {MigrationContext} from '../context.js'
import {DENY_ENV} from '../effects-live.js'
import {restoreSyncInterval} from '../fast-cutover.js'
import {undo} from '../undo.js'
import {mayPass} from '../wait.js'
import type {GuardChannel, GuardStatus} from './channel.js'
import {type DriversLock, holderText} from './other-holder.js'

/** A driver that has not beaten for so long is dead, stopped or cut off from its disk. */
export const SILENT_DRIVER_MS = 5000
const POLL_MS = 500
/** After it lifted the deny the guard stays so long, for a driver that wakes up and denies once more. */
const LINGER_MS = 120_000
/** What a driver that is dead had sent may still take place for so long. */
const LATE_DENY_MS = 15_000
/** How often it is looked whether another command still works on the table. */
const YIELD_POLL_MS = 2000

export interface GuardOptions {
  channel: GuardChannel
  clock: Clock
  /** A context of its own: connections, journal and effects; `state` says that the deny may be set. */
  context: MigrationContext
  /** Then nobody can wake up and deny once more. */
  isDriverDead(): Promise<boolean>
  lock: DriversLock
  pid: number
  signal: AbortSignal
}

/** How the guard's watch ended. */
export type GuardEnd = 'dismissed' | 'lifted' | 'switched'

/**
 * Watches over a cutover. It goes by heartbeats, not by the driver's death: a stopped driver may wake up. Before it lifts the deny it
 * takes the commit away from the driver (`undo` does that for a node; the claim does it for the operator's word), and
 * it never lifts what names the target. While another command holds the table's lock, on whatever machine, the deny is that
 * one's to answer for: the guard only looks on.
 */
export async function guardCutover(options: GuardOptions): Promise<GuardEnd> {
  const {clock, signal} = options
  const watch = new Watch(options)
  await watch.tell('watching', 'the driver beats')
  let acted: GuardEnd | undefined
  let actedAtMs = 0
  for (;;) {
    signal.throwIfAborted()
    const sight = await watch.look()
    if (sight === 'dismissed') {
      await watch.leave('the driver said that it is no longer needed', true)
      return 'dismissed'
    }

    if (sight === 'silent' && (acted === undefined || (await watch.denyIsBack()))) {
      const end = await watch.act()
      if (end === 'switched') {
        await watch.leave('there is only forward', true)
        return end
      }

      if (end !== undefined) {
        acted = end
        actedAtMs = clock.nowMs()
      }
    }

    if (acted !== undefined && (await watch.lingeredLongEnough(clock.nowMs() - actedAtMs))) {
      await watch.leave('nobody denied writes again', await options.isDriverDead())
      return acted
    }

    await sleep(clock, POLL_MS, signal)
  }
}

class Watch {
  private beat: {atMs: number; count: number | undefined}
  private readonly sinceMs: number
  private told = ''
  /** When to look again whether another command works on the table. */
  private yieldUntilMs = Number.NEGATIVE_INFINITY

  constructor(private readonly options: GuardOptions) {
    this.beat = {atMs: options.clock.nowMs(), count: undefined}
    this.sinceMs = options.clock.wallMs()
    this.hearAlarms()
  }

  /**
   * Takes the deny back, and stays at it until that is proved; ZooKeeper unreachable: never lift, keep trying.
   * @returns undefined while another command works on the table
   */
  async act(): Promise<'lifted' | 'switched' | undefined> {
    const {clock, context, signal} = this.options
    if (await this.yields()) return undefined
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

      if (await this.yields()) return undefined
      await this.tell('alarmed', result.reason)
      await sleep(clock, POLL_MS * 4, signal)
    }
  }

  /** The last thing it does: its files go, so that nobody takes it for alive. */
  async leave(why: string, claimToo: boolean): Promise<void> {
    const {channel, context} = this.options
    const done = await Promise.allSettled([
      context.journal?.write({kind: 'guard', state: 'gone', text: why}),
      channel.leave(claimToo),
    ])
    for (const result of done) {
      if (result.status === 'fulfilled') continue
      context.emit({code: 'journal.write_failed', message: messageOf(result.reason), type: 'warning'})
    }
  }

  async lingeredLongEnough(lingeredMs: number): Promise<boolean> {
    if (lingeredMs > LINGER_MS) return true
    return lingeredMs > LATE_DENY_MS ? this.options.isDriverDead() : false
  }

  /** Whether another command holds the lock, and so answers for the deny. Nobody can tell: then nothing is done either. */
  private async yields(): Promise<boolean> {
    const {clock, lock, signal} = this.options
    if (clock.nowMs() < this.yieldUntilMs) return true
    let holder: LockNote | undefined
    try {
      holder = await lock.otherHolder(signal)
    } catch (error) {
      signal.throwIfAborted()
      await this.tellOnce('alarmed', `whether another command works on the table cannot be told: ${messageOf(error)}`)
      this.yieldUntilMs = clock.nowMs() + YIELD_POLL_MS
      return true
    }

    if (!holder) return false
    await this.tellOnce('yielding', `${holderText(holder)} works on the table: the write-deny is taken back there`)
    this.yieldUntilMs = clock.nowMs() + YIELD_POLL_MS
    return true
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

  /** What an undo that insists complains of: without a screen the journal and the status are where it is heard. */
  private hearAlarms(): void {
    const {context} = this.options
    const {emit} = context
    context.emit = (event) => {
      emit(event)
      if (event.type === 'warning' && event.code === 'undo.trouble') void this.tellOnce('alarmed', event.message)
    }
  }

  /** Says the same thing once. */
  private async tellOnce(state: GuardStatus['state'], text: string): Promise<void> {
    if (this.told !== `${state} ${text}`) await this.tell(state, text)
  }

  async tell(state: GuardStatus['state'], text: string): Promise<void> {
    this.told = `${state} ${text}`
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
