import type {Clock, Timer} from '../clock.js'
import type {VerifyEvent, VerifyProgressEvent, VerifyResult, VerifyStartedEvent} from '../migration/verify/run.js'
import {formatFields} from './plain-renderer.js'
import {chooseRenderer, type Output} from './renderer.js'
import {TaskList} from './task-list.js'
import {formatCount, formatDuration, plural, printable} from './text.js'

const REFRESH_MS = 1000
const PROGRESS_INTERVAL_MS = 5000
const COMPARE = 'compare'

/** Shows a comparison while it goes on. */
export interface VerifyRenderer {
  /** Says something that is no event, such as what a signal will do. */
  notice(text: string): void
  onEvent(event: VerifyEvent): void
  /** Leaves the terminal as it was found. `result`: how it ended, unless it broke. */
  stop(result?: VerifyResult): Promise<void>
}

export function newVerifyRenderer(options: {clock: Clock; json: boolean; table: string}): VerifyRenderer {
  const {clock, json, table} = options
  const kind = chooseRenderer({env: process.env, json, stdout: process.stdout})
  if (kind === 'silent') return new VerifySilent(process.stderr)
  return kind === 'plain' ? new VerifyLines(clock, process.stdout, table) : new VerifyList(clock, process.stdout, table)
}

/** Which two tables are compared, in one line. */
export function startedSentence({duplication, partitionCount, partitionsEarlier, source, target}: VerifyStartedEvent) {
  const ships = {
    none: 'no duplication ships between them',
    paused: `duplication ${duplication.dupid} is paused`,
    shipping: `duplication ${duplication.dupid} ships`,
  }[duplication.state]
  const earlier = partitionsEarlier > 0 ? `, ${partitionsEarlier} of them found the same by an earlier run` : ''
  return `${source.cluster} (table id ${source.tableId}) and ${target.cluster} (${target.tableId}), ${plural(partitionCount, 'partition')}${earlier}; ${ships}`
}

function figures(progress: VerifyProgressEvent): string[] {
  const {differences, etaMs, partitionCount, partitionsDone, partitionsEarlier, rowsCompared, rowsPerSecond, suspects} =
    progress
  const eta = etaMs === undefined ? '' : `, about ${formatDuration(etaMs)} to go`
  const open = [
    suspects > 0 ? `${plural(suspects, 'row')} read again` : '',
    differences > 0 ? `${formatCount(differences)} differ` : '',
  ]
  return [
    `${plural(rowsCompared, 'row')} compared, ${formatCount(rowsPerSecond)} a second${eta}`,
    `partitions ${formatCount(partitionsDone + partitionsEarlier)}/${formatCount(partitionCount)}`,
    open.filter((text) => text !== '').join(', '),
  ].filter((line) => line !== '')
}

/** One task with live figures; for terminals. */
export class VerifyList implements VerifyRenderer {
  private list: TaskList | undefined
  private notices: string[] = []
  private progress: undefined | VerifyProgressEvent
  private timer: Timer | undefined

  constructor(
    private readonly clock: Clock,
    private readonly output: Output,
    private readonly table: string,
  ) {}

  notice(text: string): void {
    this.notices.push(text)
    if (this.list) this.refresh()
    else this.output.write(`${printable(text)}\n`)
  }

  onEvent(event: VerifyEvent): void {
    if (event.type === 'progress') {
      this.progress = event
      return
    }

    this.output.write(`${printable(startedSentence(event))}\n`)
    this.list = new TaskList(
      new Map([[COMPARE, printable(`Compare ${this.table} (${event.mode})`)]]),
      Promise.resolve(),
    )
    this.list.begin(COMPARE)
    this.refresh()
  }

  async stop(result?: VerifyResult): Promise<void> {
    this.timer?.cancel()
    const {list} = this
    this.list = undefined
    if (list && result) {
      const isSame = result.outcome === 'same'
      const title = `Compare ${this.table} (${result.mode})  ${formatDuration(result.tookMs)}  ${plural(result.rows.rowsCompared, 'row')}`
      list.end(COMPARE, isSame ? 'done' : 'failed', printable(title))
    }

    await list?.close()
  }

  /** Draws, and again every second: the figures come more often than anybody reads. */
  private refresh(): void {
    this.timer?.cancel()
    const lines = [...(this.progress ? figures(this.progress) : []), ...this.notices.slice(-3)]
    this.list?.output(
      COMPARE,
      lines.map((line) => printable(line)),
    )
    this.timer = this.clock.setTimer(REFRESH_MS, () => this.refresh())
  }
}

/** One line with a timestamp per event; for pipes and logs. */
export class VerifyLines implements VerifyRenderer {
  private shownAtMs = -Infinity
  private shownDone = -1

  constructor(
    private readonly clock: Clock,
    private readonly output: Output,
    private readonly table: string,
  ) {}

  notice(text: string): void {
    this.line(this.clock.wallMs(), {event: 'notice', text})
  }

  onEvent(event: VerifyEvent): void {
    const {atMs} = event
    if (event.type === 'started') {
      this.line(atMs, {event: 'started', mode: event.mode, text: startedSentence(event)})
      return
    }

    const {
      differences,
      etaMs,
      partitionCount,
      partitionsDone,
      partitionsEarlier,
      rowsCompared,
      rowsPerSecond,
      suspects,
    } = event
    const isLast = partitionsDone + partitionsEarlier === partitionCount && partitionsDone !== this.shownDone
    if (atMs - this.shownAtMs < PROGRESS_INTERVAL_MS && !isLast) return
    this.shownAtMs = atMs
    this.shownDone = partitionsDone
    this.line(atMs, {
      event: 'progress',
      partitions: `${partitionsDone + partitionsEarlier}/${partitionCount}`,
      rows: rowsCompared,
      rowsPerSecond,
      etaMs,
      suspects,
      differences,
    })
  }

  async stop(result?: VerifyResult): Promise<void> {
    if (!result) return
    const {error, next, outcome, rows} = result
    const {different, missingOnSource, missingOnTarget, rowsCompared, unresolved} = rows
    this.line(this.clock.wallMs(), {
      event: 'ended',
      outcome,
      rows: rowsCompared,
      different,
      missingOnSource,
      missingOnTarget,
      unresolved,
      code: error?.code,
      error: error?.message,
      next,
    })
  }

  private line(atMs: number, fields: Record<string, number | string | undefined>): void {
    this.output.write(`${new Date(atMs).toISOString()} ${formatFields({table: this.table, ...fields})}\n`)
  }
}

/** For `--json`: the one document at the end is all that stdout gets. */
export class VerifySilent implements VerifyRenderer {
  constructor(private readonly stderr: Output) {}

  notice(text: string): void {
    this.stderr.write(`${printable(text)}\n`)
  }

  onEvent(): void {
    // The result holds everything that --json prints.
  }

  async stop(): Promise<void> {
    // Nothing was drawn.
  }
}
