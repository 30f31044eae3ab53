import {type Clock, sleep, type Timer} from '../../clock.js'
import {messageOf, MigratorError} from '../../errors.js'
import {machineProcesses, type Processes} from '../../processes.js'
import type {UnstampedEvent} from '../events.js'
import type {DriverStage, GuardChannel, GuardStatus} from './channel.js'

const BEAT_MS = 1000
const READY_LIMIT_MS = 10_000
const READY_POLL_MS = 50

/** The driver's side of a guard that watches its cutover. */
export interface GuardHandle {
  /** @throws MigratorError `guard.acted` when the guard has taken the cutover over */
  assertMine(): Promise<void>
  /** Takes the right to decide for the operator's word. @throws MigratorError `guard.acted` */
  claimWord(): Promise<void>
  /** Sends the guard away: the deny is lifted and proved, or the table was handed over. */
  dismiss(): Promise<void>
  /** Falls silent: this run ends while writes may be denied, and the guard goes on. */
  leave(): void
}

/**
 * Beats until it is dismissed, and waits until the guard says that it watches.
 * @param launch starts the guard, which then reads the channel
 * @throws MigratorError `guard.not_started`
 */
export async function startGuard(
  channel: GuardChannel,
  clock: Clock,
  emit: (event: UnstampedEvent) => void,
  launch: () => Promise<void>,
  processes: Pick<Processes, 'lives'> = machineProcesses,
): Promise<GuardHandle> {
  await sendGuardAway(channel, clock, processes)
  await channel.clear()
  const beater = new Beater(channel, clock, emit)
  await beater.beat()
  await launch()
  const startMs = clock.nowMs()
  while ((await channel.readStatus())?.state !== 'watching') {
    if (clock.nowMs() - startMs > READY_LIMIT_MS) {
      await beater.stop()
      throw new MigratorError('guard.not_started', 'the guard process did not begin to watch within 10 s', {
        next: 'Look whether this machine can start another process, or run without it: --no-guard.',
      })
    }

    await sleep(clock, READY_POLL_MS)
  }

  return new DriverSide(channel, beater, processes)
}

/**
 * Two never act at once: an earlier guard that only watches or lingers is sent away, one that acts is left to its work.
 * @throws MigratorError `guard.busy`
 */
export async function sendGuardAway(
  channel: GuardChannel,
  clock: Clock,
  {lives}: Pick<Processes, 'lives'>,
): Promise<void> {
  const earlier = await channel.readStatus()
  if (!earlier || finished.has(earlier.state) || !lives(earlier.pid)) return
  await channel.beat(Number.MAX_SAFE_INTEGER, 'dismissed')
  const startMs = clock.nowMs()
  while (!isOver(await channel.readStatus()) && lives(earlier.pid)) {
    if (clock.nowMs() - startMs > READY_LIMIT_MS) {
      throw new MigratorError(
        'guard.busy',
        `the guard of an earlier run (process ${earlier.pid}) is still at work: ${earlier.text}`,
        {
          next: 'Wait until it has taken the write-deny back: pegasus table:migrate-status shows it. Then run the same command again.',
        },
      )
    }

    await sleep(clock, READY_POLL_MS)
  }
}

const finished: ReadonlySet<GuardStatus['state']> = new Set(['gone', 'switched'])

/** A guard that ends removes its file. */
function isOver(status: GuardStatus | undefined): boolean {
  return status === undefined || status.state === 'gone'
}

class Beater {
  private beating: Promise<void> = Promise.resolve()
  private count = 0
  private stopped = false
  private timer: Timer | undefined

  constructor(
    private readonly channel: GuardChannel,
    private readonly clock: Clock,
    private readonly emit: (event: UnstampedEvent) => void,
  ) {}

  async beat(): Promise<void> {
    this.beating = this.send('armed')
    await this.beating
    if (!this.stopped) this.timer = this.clock.setTimer(BEAT_MS, () => void this.beat())
  }

  /** Without this a process that has ended its work would beat for ever, and its guard never act. */
  fallSilent(): void {
    this.stopped = true
    this.timer?.cancel()
  }

  async stop(): Promise<void> {
    this.fallSilent()
    // A beat under way must not overwrite the dismissal.
    await this.beating
    await this.send('dismissed')
  }

  /** A guard that hears nothing acts by itself: it lifts what is denied, and never what was handed over. */
  private async send(stage: DriverStage): Promise<void> {
    try {
      await this.channel.beat(++this.count, stage)
    } catch (error) {
      const message = `the guard cannot hear this run: ${messageOf(error)}`
      this.emit({code: 'guard.beat_failed', message, type: 'warning'})
    }
  }
}

class DriverSide implements GuardHandle {
  constructor(
    private readonly channel: GuardChannel,
    private readonly beater: Beater,
    private readonly processes: Pick<Processes, 'lives'>,
  ) {}

  async assertMine(): Promise<void> {
    if ((await this.channel.claimant()) === 'guard') throw acted()
  }

  async claimWord(): Promise<void> {
    if (!(await this.channel.claim('word'))) throw acted()
  }

  async dismiss(): Promise<void> {
    await this.beater.stop()
    const guard = await this.channel.readStatus().catch(() => undefined)
    // One that lives clears up itself; after one that died nobody else does. What stays harms nobody: the next one clears it.
    if (!guard || !this.processes.lives(guard.pid)) await this.channel.leave(true).catch(() => {})
  }

  leave(): void {
    this.beater.fallSilent()
  }
}

function acted(): MigratorError {
  return new MigratorError(
    'guard.acted',
    'the guard heard nothing from this run for a while and has taken the write-deny back',
    {next: 'Writes are allowed on the source. Running the same command again goes on from here.'},
  )
}
