import type {EventEmitter} from 'node:events'
import {type Clock, sleep} from '../clock.js'
import type {StatusReport} from '../migration/status/report.js'

const REPAINT_MS = 2000
/** To the upper left; clear to the end of the line; clear everything below. */
const [HOME, CLEAR_LINE, CLEAR_BELOW] = ['\u001B[H', '\u001B[K', '\u001B[J']

export interface WatchOptions {
  clock: Clock
  lines(report: StatusReport): string[]
  output: {isTTY?: boolean; rows?: number; write(text: string): unknown}
  read(signal: AbortSignal): Promise<StatusReport>
}

/** Reads and shows every 2 s until the signal aborts, which is the way to end it. */
export async function watchStatus(options: WatchOptions, signal: AbortSignal): Promise<void> {
  const {clock, output} = options
  let screen = HOME + CLEAR_BELOW
  try {
    while (!signal.aborted) {
      const lines = options.lines(await options.read(signal))
      if (output.isTTY) {
        // Painted over line by line, so that nothing flickers; what does not fit would scroll, and is left out.
        const fitting = lines.slice(0, Math.max(1, (output.rows ?? Number.POSITIVE_INFINITY) - 1))
        output.write(`${screen}${fitting.map((line) => `${line}${CLEAR_LINE}\n`).join('')}${CLEAR_BELOW}`)
        screen = HOME
      } else output.write(`${lines.join('\n')}\n\n`)

      await sleep(clock, REPAINT_MS, signal)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Ctrl-C ends it and is no failure: nothing was changed. @param source `process`, in tests something that emits */
export async function watchUntilInterrupted(
  options: WatchOptions,
  source: Pick<EventEmitter, 'off' | 'on'> = process,
): Promise<void> {
  const controller = new AbortController()
  const stop = () => controller.abort(new Error('ended by Ctrl-C'))
  source.on('SIGINT', stop)
  try {
    await watchStatus(options, controller.signal)
  } finally {
    source.off('SIGINT', stop)
  }
}
