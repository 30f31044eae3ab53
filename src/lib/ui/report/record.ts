import type {ExitCode} from '../../exit-codes.js'
import type {MigrationEvent, PhaseId} from '../../migration/events.js'
import type {MigrationResult} from '../../migration/result.js'

/** One bar of the timeline; wall clock, ms. */
export interface Span {
  endMs?: number
  phase: PhaseId | 'undo'
  startMs: number
  state: 'done' | 'failed' | 'running'
  /** What was said of it at its end. */
  text: string
}

/** Figures at one moment; wall clock, ms. */
export interface Sample {
  atMs: number
  /** Mutations that the target has confirmed, summed over the partitions' decrees. */
  confirmedMutations?: number
  /** Mutations committed on the source and not yet acknowledged by the target. */
  lagMutations?: number
}

/** Something that was changed, undone or warned of; wall clock, ms. */
export interface Remark {
  atMs: number
  kind: 'changed' | 'change-failed' | 'undo' | 'warning'
  text: string
}

/** What `--report FILE.json` holds; pages and Markdown are made of it. `schema` changes when a member changes its meaning. */
export interface MigrationReport {
  /** The command line, without secrets. */
  command: string
  endedAtMs: number
  exitCode: ExitCode
  /** Set when the run broke and there is no result. */
  failure?: {code: string; message: string; next?: string}
  remarks: Remark[]
  result?: MigrationResult
  samples: Sample[]
  schema: 1
  spans: Span[]
  startedAtMs: number
  table: string
  tool: {name: string; node: string; version: string}
}

const SAMPLE_EVERY_MS = 1000
/** A report of a long copy stays small: with so many samples every other one goes, and they come half as often. */
const MOST_SAMPLES = 1200

/** Hears a run and keeps what its report needs. */
export class Recorder {
  readonly remarks: Remark[] = []
  readonly spans: Span[] = []
  samples: Sample[] = []
  private everyMs = SAMPLE_EVERY_MS

  onEvent(event: MigrationEvent): void {
    const {atMs} = event
    switch (event.type) {
      case 'check':
      case 'phase-skipped': {
        break
      }

      case 'effect': {
        if (event.state === 'done') this.remarks.push({atMs, kind: 'changed', text: event.sentence})
        if (event.state === 'failed') this.remarks.push({atMs, kind: 'change-failed', text: event.sentence})
        break
      }

      case 'hook': {
        if (event.state === 'failed') this.remarks.push({atMs, kind: 'warning', text: `${event.moment}: ${event.text}`})
        break
      }

      case 'phase-failed': {
        this.end(event.phase, atMs, 'failed', event.error)
        break
      }

      case 'phase-finished': {
        this.end(event.phase, atMs, 'done', event.summary)
        break
      }

      case 'phase-started': {
        this.begin(event.phase, atMs)
        break
      }

      case 'progress': {
        const {confirmedMutations, lagMutations} = event.progress
        if (lagMutations !== undefined || confirmedMutations !== undefined)
          this.sample({
            atMs,
            ...(confirmedMutations === undefined ? {} : {confirmedMutations}),
            ...(lagMutations === undefined ? {} : {lagMutations}),
          })
        break
      }

      case 'undo-finished': {
        this.end('undo', atMs, event.ok ? 'done' : 'failed', event.sentence)
        this.remarks.push({atMs, kind: 'undo', text: event.sentence})
        break
      }

      case 'undo-progress': {
        break
      }

      case 'undo-started': {
        this.begin('undo', atMs)
        this.remarks.push({atMs, kind: 'undo', text: `${event.sentence} (${event.reason})`})
        break
      }

      case 'warning': {
        this.remarks.push({atMs, kind: 'warning', text: event.message})
        break
      }
    }
  }

  private begin(phase: Span['phase'], atMs: number): void {
    // What is undone has stopped.
    const open = this.spans.at(-1)
    if (open?.state === 'running') this.end(open.phase, atMs, 'failed', 'stopped')
    this.spans.push({phase, startMs: atMs, state: 'running', text: ''})
  }

  private end(phase: Span['phase'], atMs: number, state: 'done' | 'failed', text: string): void {
    const span = this.spans.findLast((candidate) => candidate.phase === phase && candidate.state === 'running')
    if (span) Object.assign(span, {endMs: atMs, state, text})
    else this.spans.push({endMs: atMs, phase, startMs: atMs, state, text})
  }

  private sample(sample: Sample): void {
    const last = this.samples.at(-1)
    if (last && sample.atMs - last.atMs < this.everyMs) return
    this.samples.push(sample)
    if (this.samples.length < MOST_SAMPLES) return
    this.samples = this.samples.filter((_, index) => index % 2 === 0)
    this.everyMs *= 2
  }
}
