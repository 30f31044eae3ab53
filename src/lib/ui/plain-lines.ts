import type {Clock} from '../clock.js'
import type {Progress} from '../migration/events.js'
import {printable} from './text.js'

/** Something that can be written to; `process.stdout` is one. */
export interface Output {
  write(text: string): unknown
}

export type Fields = Record<string, number | string | undefined>

/** `key=value` with spaces between; values that are not one plain word are quoted. Undefined ones are left out. */
export function formatFields(fields: Fields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => {
      const text = printable(String(value))
      return `${key}=${/^[^\s"=]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`}`
    })
    .join(' ')
}

export function progressFields(progress: Progress): Fields {
  const {deniedForMs, etaMs, lagMutations, partitionCount, partitionsDone, serverCount, serversDone, text, worst} =
    progress
  return {
    partitions: shareOf(partitionsDone, partitionCount),
    servers: shareOf(serversDone, serverCount),
    lagMutations,
    etaMs: etaMs === undefined ? undefined : Math.round(etaMs),
    deniedForMs: deniedForMs === undefined ? undefined : Math.round(deniedForMs),
    worst,
    text,
  }
}

/** `5/8`; undefined where nothing is counted. */
function shareOf(done = 0, count?: number): string | undefined {
  return count === undefined ? undefined : `${done}/${count}`
}

/** One line with a timestamp per event; for pipes, logs and terminals that cannot move their cursor. */
export abstract class PlainLines {
  private held: string[] | undefined

  constructor(
    protected readonly clock: Clock,
    private readonly output: Output,
    private readonly table: string,
  ) {}

  notice(text: string): void {
    this.line(this.clock.wallMs(), {event: 'notice', text})
  }

  /** Lines that come while somebody is asked are held back: they would go through the prompt. */
  async pause<T>(interlude: () => Promise<T>): Promise<T> {
    this.held = []
    try {
      return await interlude()
    } finally {
      for (const line of this.held) this.output.write(line)
      this.held = undefined
    }
  }

  /** @param place what is done now, such as `{phase: 'drain'}`; in front, so that `grep phase=drain` finds it */
  protected line(atMs: number, fields: Fields, place: Fields = {}): void {
    const line = `${new Date(atMs).toISOString()} ${formatFields({...place, table: this.table, ...fields})}\n`
    if (this.held) this.held.push(line)
    else this.output.write(line)
  }
}

/** For `--json`: the one document at the end is all that stdout gets; what cannot wait for it goes to stderr. */
export class Silent {
  constructor(private readonly stderr: Output) {}

  notice(text: string): void {
    this.stderr.write(`${printable(text)}\n`)
  }

  async stop(): Promise<void> {
    // Nothing was drawn.
  }
}
