import type {MigrationEvent, Progress} from '../migration/events.js'
import {formatCount, formatDuration, plural, printable} from './text.js'

/** How long nothing may be heard before the screen says so. */
const SILENCE_MS = 10_000
/** How long an effect that is done stays on the screen. */
const EFFECT_SHOWN_MS = 5000
const NOTICE_SHOWN_MS = 30_000

/** The figures of a wait in one line; empty when there are none. */
export function figures(progress: Progress): string {
  const parts: string[] = []
  const {etaMs, lagMutations, partitionCount, partitionsDone} = progress
  if (partitionCount !== undefined)
    parts.push(`partitions ${formatCount(partitionsDone ?? 0)}/${formatCount(partitionCount)}`)
  if (lagMutations !== undefined) parts.push(`lag ${plural(lagMutations, 'mutation')}`)
  if (etaMs !== undefined) parts.push(`about ${formatDuration(etaMs)} to go`)
  return parts.join(', ')
}

/** What stands under the phase that is running. */
export class LiveView {
  private effect: undefined | {sentence: string; untilMs: number}
  private heardAtMs: number | undefined
  private notices: {text: string; untilMs: number}[] = []
  private progress: Progress | undefined

  /** Shown for half a minute from `nowMs` on, the latest three at a time. */
  notice(text: string, nowMs: number): void {
    this.notices.push({text, untilMs: nowMs + NOTICE_SHOWN_MS})
  }

  onEvent(event: MigrationEvent): void {
    this.heardAtMs = event.atMs
    if (event.type === 'phase-started' || event.type === 'undo-started') {
      this.effect = undefined
      this.progress = undefined
    }

    if (event.type === 'progress') this.progress = event.progress
    if (event.type === 'undo-progress') this.progress = {text: event.sentence}
    if (event.type === 'warning') this.notice(`warning: ${event.message}`, event.atMs)
    if (event.type === 'effect') {
      const {sentence, state} = event
      const untilMs = state === 'begin' ? Number.POSITIVE_INFINITY : event.atMs + EFFECT_SHOWN_MS
      this.effect = {sentence: state === 'failed' ? `failed: ${sentence}` : sentence, untilMs}
    }
  }

  /** The lines, escaped; `nowMs` is the wall clock, `deniedSinceMs` DenyWatch's. */
  lines(nowMs: number, deniedSinceMs?: number): string[] {
    const lines: string[] = []
    if (deniedSinceMs !== undefined) lines.push(`WRITES DENIED for ${formatDuration(nowMs - deniedSinceMs)}`)
    if (this.progress) lines.push(this.progress.text, figures(this.progress))
    if (this.progress?.worst) lines.push(`worst: ${this.progress.worst}`)
    if (this.effect && nowMs < this.effect.untilMs) lines.push(this.effect.sentence)
    const notices = this.notices.filter(({untilMs}) => nowMs < untilMs).slice(-3)
    lines.push(...notices.map(({text}) => text))
    const silentMs = nowMs - (this.heardAtMs ?? nowMs)
    if (silentMs >= SILENCE_MS) lines.push(`nothing new for ${formatDuration(silentMs)}`)
    return lines.filter((line) => line !== '').map((line) => printable(line))
  }
}
