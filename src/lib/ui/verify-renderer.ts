import type {Clock} from '../clock.js'
import type {VerifyEvent, VerifyProgressEvent, VerifyResult, VerifyStartedEvent} from '../migration/verify/run.js'
import type {Canvas} from './frame-painter.js'
import {type Line, LiveList, type Room} from './live-list.js'
import {shareLine, withCtrlC} from './live-view.js'
import {PlainLines, Silent} from './plain-lines.js'
import {chooseRenderer} from './renderer.js'
import {formatCount, formatSeconds, joinFitting, plural, printable} from './text.js'

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

export function newVerifyRenderer(options: {
  clock: Clock
  isStopping(): boolean
  json: boolean
  table: string
}): VerifyRenderer {
  const {clock, json, table} = options
  const kind = chooseRenderer({env: process.env, json, stdout: process.stdout})
  if (kind === 'silent') return new VerifySilent(process.stderr)
  return kind === 'plain'
    ? new VerifyLines(clock, process.stdout, table)
    : new VerifyList(clock, process.stdout, options)
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

function figures(progress: VerifyProgressEvent, {columns}: Room): Line[] {
  const {differences, etaMs, partitionCount, partitionsDone, partitionsEarlier, rowsCompared, rowsPerSecond, suspects} =
    progress
  const done = partitionsDone + partitionsEarlier
  const open = [
    suspects > 0 ? `${plural(suspects, 'row')} read again` : '',
    differences > 0 ? `${formatCount(differences)} differ` : '',
  ]
  return [
    joinFitting([`${plural(rowsCompared, 'row')} compared`, `${formatCount(rowsPerSecond)} a second`], columns),
    shareLine(done, partitionCount, 'partition', columns),
    etaMs === undefined ? '' : `about ${formatSeconds(etaMs)} to go`,
    open.filter((text) => text !== '').join(', '),
  ]
}

/** One task with live figures; for terminals. */
export class VerifyList extends LiveList<typeof COMPARE> implements VerifyRenderer {
  private mode = ''
  private progress: undefined | VerifyProgressEvent

  constructor(
    clock: Clock,
    canvas: Canvas,
    private readonly around: {isStopping(): boolean; table: string},
  ) {
    super(clock, canvas)
  }

  onEvent(event: VerifyEvent): void {
    // Drawn once a second: the figures come more often than anybody reads.
    if (event.type === 'progress') {
      this.progress = event
      return
    }

    this.canvas.write(`${printable(startedSentence(event))}\n`)
    this.mode = event.mode
    this.open([COMPARE])
    this.begin(COMPARE)
  }

  async stop(result?: VerifyResult): Promise<void> {
    if (this.isOpen && result) {
      const isSame = result.outcome === 'same'
      this.end(COMPARE, isSame ? 'done' : 'failed', plural(result.rows.rowsCompared, 'row'), result.tookMs)
    }

    await this.close()
  }

  protected override lines(room: Room, notices: readonly string[]): Line[] {
    const shown = this.progress ? figures(this.progress, room) : []
    const above = [...shown, ...notices.map((text): Line => ({color: 'bold', text}))]
    return withCtrlC(above, this.ctrlC(), room)
  }

  /** Only a full comparison has something to go on from. */
  private ctrlC(): string {
    if (this.around.isStopping()) return 'Ctrl-C again: leaves at once; nothing was changed'
    return this.mode === 'full'
      ? 'Ctrl-C: stops; nothing was changed, what was compared is kept'
      : 'Ctrl-C: stops; nothing was changed'
  }

  protected override titleOf(): string {
    return `Compare ${this.around.table} (${this.mode})`
  }

  protected get titleWidth(): number {
    return this.titleOf().length
  }
}

/** One line with a timestamp per event; for pipes and logs. */
export class VerifyLines extends PlainLines implements VerifyRenderer {
  private shownAtMs = -Infinity
  private shownDone = -1

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
}

/** For `--json`: the result holds everything. */
export class VerifySilent extends Silent implements VerifyRenderer {
  onEvent(): void {
    // The result holds everything that --json prints.
  }
}
