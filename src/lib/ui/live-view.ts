import type {MigrationEvent, PhaseId, Progress} from '../migration/events.js'
import {bar, History, sparkline} from './gauge.js'
import type {Line, Room} from './live-list.js'
import {formatCount, formatSeconds, joinFitting, plural, wrap} from './text.js'

/** How long nothing may be heard before the screen says so. */
const SILENCE_MS = 10_000
/** How long an effect that is done stays on the screen. */
const EFFECT_SHOWN_MS = 5000
const BAR_WIDTH = 20
const SPARKLINE_WIDTH = 24

/** How long something takes from its begin on, ms. */
export interface Expectation {
  maxMs: number
  minMs: number
}

/** What is known besides the events. */
export interface Surroundings {
  /** What Ctrl-C would do now; the last line. */
  ctrlC?: string
  /** Writes are denied since then (wall clock, ms), and for `boundMs` at the longest. */
  denied?: {boundMs?: number; sinceMs: number}
  notices: readonly string[]
  nowMs: number
  room: Room
}

/** What stands under the phase that is running. */
export class LiveView {
  private effect: undefined | {sentence: string; untilMs: number}
  private expectation: Expectation | undefined
  private heardAtMs: number | undefined
  private readonly lag = new History()
  private progress: Progress | undefined
  private progressAtMs = 0
  private startedAtMs = 0

  /** @param expect how long a phase takes by the servers' own timers, where nothing better is told */
  constructor(private readonly expect: (phase: PhaseId | 'undo') => Expectation | undefined = () => undefined) {}

  onEvent(event: MigrationEvent): void {
    this.heardAtMs = event.atMs
    // Before writes are denied it may be held for days: the servers' timers count from there on.
    if (event.type === 'phase-started')
      this.forget(event.atMs, event.phase === 'deny' ? undefined : this.expect(event.phase))
    if (event.type === 'undo-started') this.forget(event.atMs, this.expect('undo'))

    if (event.type === 'progress') this.hear(event.progress, event.atMs)
    if (event.type === 'undo-progress') this.hear({text: event.sentence}, event.atMs)
    if (event.type === 'effect') {
      const {effect, sentence, state} = event
      // What was waited for before it is over.
      if (effect.kind === 'deny' && state === 'begin') this.forget(event.atMs, this.expect('deny'))
      const untilMs = state === 'begin' ? Number.POSITIVE_INFINITY : event.atMs + EFFECT_SHOWN_MS
      this.effect = {sentence: state === 'failed' ? `failed: ${sentence}` : sentence, untilMs}
    }
  }

  /** Something else begins. */
  forget(atMs: number, expectation?: Expectation): void {
    this.effect = undefined
    this.expectation = expectation
    this.heardAtMs = atMs
    this.progress = undefined
    this.startedAtMs = atMs
  }

  hear(progress: Progress, atMs: number): void {
    this.heardAtMs = atMs
    this.progress = progress
    this.progressAtMs = atMs
    if (progress.lagMutations !== undefined) this.lag.add(progress.lagMutations, atMs)
  }

  lines(around: Surroundings): Line[] {
    const {ctrlC, denied, notices, nowMs, room} = around
    const {effect, progress} = this
    const silentMs = nowMs - (this.heardAtMs ?? nowMs)
    const above: Line[] = [
      denied ? deniedLine(denied, nowMs, room.columns) : '',
      ...(progress ? twoLines(progress.text, room) : []),
      progress ? doneLine(progress, room.columns) : '',
      this.lagLine(room.columns),
      this.remaining(nowMs),
      ...(progress?.worst ? twoLines(`worst: ${progress.worst}`, room) : []),
      effect && nowMs < effect.untilMs ? effect.sentence : '',
      silentMs >= SILENCE_MS ? `nothing new for ${formatSeconds(silentMs)}` : '',
      ...notices.map((text): Line => ({color: 'bold', text})),
    ]
    return withCtrlC(above, ctrlC, room)
  }

  private lagLine(columns: number): string {
    const lag = this.progress?.lagMutations
    if (lag === undefined) return ''
    const figure = `lag ${plural(lag, 'mutation')}`
    const width = Math.min(SPARKLINE_WIDTH, columns - figure.length - 2)
    return width < 2 ? figure : `${figure}  ${sparkline(this.lag.values, width)}`
  }

  /** How long still: as the phase says, or by the servers' timers. */
  private remaining(nowMs: number): string {
    const eta = this.progress?.etaMs
    if (eta !== undefined) {
      const leftMs = eta - (nowMs - this.progressAtMs)
      return leftMs > 500 ? `about ${formatSeconds(leftMs)} to go` : 'should be there any moment'
    }

    if (!this.expectation) return ''
    const {maxMs, minMs} = this.expectation
    const elapsedMs = nowMs - this.startedAtMs
    if (elapsedMs > maxMs) return `${formatSeconds(elapsedMs - maxMs)} longer than the servers' timers tell`
    const most = formatSeconds(maxMs - elapsedMs)
    return elapsedMs < minMs ? `${formatSeconds(minMs - elapsedMs)} to ${most} to go` : `at most ${most} to go`
  }
}

/** What Ctrl-C would do stands last, also where there is no room for everything above it. */
export function withCtrlC(above: readonly Line[], ctrlC: string | undefined, room: Room): Line[] {
  const below = ctrlC === undefined ? [] : twoLines(ctrlC, room).map((text): Line => ({color: 'dim', text}))
  return [...above.filter((line) => line !== '').slice(0, room.lines - below.length), ...below]
}

/** How long writes have been denied, and how long they may be. */
function deniedLine({boundMs, sinceMs}: {boundMs?: number; sinceMs: number}, nowMs: number, columns: number): Line {
  const forMs = nowMs - sinceMs
  const denied = `WRITES DENIED for ${secondsOf(forMs)}`
  if (boundMs === undefined) return {color: 'red', text: denied}
  const leftMs = boundMs - forMs
  const text = `${denied}, ${leftMs >= 0 ? `${secondsOf(leftMs)} left` : `${secondsOf(-leftMs)} OVER`}`
  const width = Math.min(BAR_WIDTH, columns - text.length - 2)
  return {color: 'red', text: width < 8 ? text : `${text}  ${bar(forMs, boundMs, width)}`}
}

/** Seconds are easier to follow than minutes, and shorter. */
function secondsOf(durationMs: number): string {
  return durationMs < 999_500 ? `${Math.round(durationMs / 1000)} s` : formatSeconds(durationMs)
}

/** What is longer is cut off there. */
function twoLines(text: string, {columns}: Room): string[] {
  const lines = text.split('\n').flatMap((line) => wrap(line, columns))
  if (lines.length <= 2) return lines
  const [first, second] = lines as [string, string]
  return [first, `${second.slice(0, columns - 1)}…`]
}

/** `7/8 partitions  █████████████████░░░` */
function doneLine(progress: Progress, columns: number): string {
  const {partitionCount, partitionsDone = 0, serverCount, serversDone = 0} = progress
  if (partitionCount !== undefined) return shareLine(partitionsDone, partitionCount, 'partition', columns)
  return serverCount === undefined ? '' : shareLine(serversDone, serverCount, 'server', columns)
}

/** `done` of `count`, as figures and as a bar. */
export function shareLine(done: number, count: number, noun: string, columns: number): string {
  const figure = `${formatCount(done)}/${plural(count, noun)}`
  const width = Math.min(BAR_WIDTH, columns - figure.length - 2)
  return joinFitting([figure, width < 4 ? '' : bar(done, count, width)], columns, '  ')
}
