import {Listr, type ListrTaskWrapper, type SimpleRenderer} from 'listr2'
import {SteadyRenderer} from './steady-renderer.js'

type Wrapper = ListrTaskWrapper<object, typeof SteadyRenderer, typeof SimpleRenderer>
type End = 'done' | 'failed' | 'skipped'

/** One line of the list. Listr pulls tasks; the migration pushes events: promises stand between them. */
class Entry {
  readonly begun: Promise<boolean>
  hasEnded = false
  private hasBegun = false
  private readonly ended: Promise<End>
  private lines: string[] = []
  private resolveBegun!: (begun: boolean) => void
  private resolveEnded!: (end: End) => void
  private wrapper: undefined | Wrapper

  constructor(public title: string) {
    this.begun = new Promise((resolve) => {
      this.resolveBegun = resolve
    })
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve
    })
  }

  begin(): void {
    this.hasBegun = true
    this.resolveBegun(true)
  }

  end(end: End, title: string): void {
    this.begin()
    this.hasEnded = true
    this.title = title
    this.resolveEnded(end)
  }

  /** Takes it off the list if it has not begun; nobody knows of one that runs how it ended, so it does not look done. */
  drop(): void {
    this.hasEnded = true
    this.resolveBegun(false)
    this.resolveEnded(this.hasBegun ? 'failed' : 'done')
  }

  output(lines: string[]): void {
    this.lines = lines
    if (this.wrapper) this.wrapper.output = lines.join('\n')
  }

  retitle(title: string): void {
    if (this.hasEnded) return
    this.title = title
    if (this.wrapper) this.wrapper.title = title
  }

  async run(wrapper: Wrapper): Promise<void> {
    this.wrapper = wrapper
    wrapper.title = this.title
    this.output(this.lines)
    const end = await this.ended
    wrapper.title = this.title
    if (end === 'skipped') wrapper.skip(this.title)
    if (end === 'failed') throw new Error(this.title)
  }
}

/** A list of tasks on a terminal, drawn by Listr2 until it is closed. Titles and lines must be printable. */
export class TaskList {
  private readonly entries: Map<string, Entry>
  private readonly finished: Promise<unknown>

  /** @param after what must be off the screen before this list is drawn */
  constructor(titles: ReadonlyMap<string, string>, after: Promise<void>) {
    this.entries = new Map([...titles].map(([id, title]) => [id, new Entry(title)]))
    const listr = new Listr<object, typeof SteadyRenderer>(
      [...this.entries.values()].map((entry) => {
        let looks = 0
        return {
          // Listr looks once for all tasks when it starts, and again when a task's turn comes: that look waits.
          enabled: () => (looks++ === 0 ? true : entry.begun),
          task: (_: object, wrapper: Wrapper) => entry.run(wrapper),
          title: entry.title,
        }
      }),
      {
        concurrent: false,
        exitOnError: false,
        // Our own handlers take deny and duplication back; Listr's would leave at once with exit code 127.
        registerSignalListeners: false,
        renderer: SteadyRenderer,
        // A line that is too long is cut: one that is broken would move everything below it.
        rendererOptions: {
          collapseErrors: false,
          collapseSubtasks: false,
          formatOutput: 'truncate',
          showErrorMessage: false,
        },
      },
    )
    this.finished = after.then(() => listr.run())
  }

  begin(id: string): void {
    this.leaveOutBefore(id)
    this.entries.get(id)?.begin()
  }

  /** Whether `id` is on this list and has not ended. */
  canBegin(id: string): boolean {
    return this.entries.get(id)?.hasEnded === false
  }

  end(id: string, end: End, title: string): void {
    this.leaveOutBefore(id)
    this.entries.get(id)?.end(end, title)
  }

  output(id: string, lines: string[]): void {
    this.entries.get(id)?.output(lines)
  }

  /** Another title for one that has not ended. */
  retitle(id: string, title: string): void {
    this.entries.get(id)?.retitle(title)
  }

  /** A run that goes on from an earlier one leaves phases out, and Listr would wait for them. */
  private leaveOutBefore(id: string): void {
    for (const [other, entry] of this.entries) {
      if (other === id) return
      entry.drop()
    }
  }

  /** Draws it for the last time; what has not begun is left out. */
  async close(): Promise<void> {
    for (const entry of this.entries.values()) entry.drop()
    await this.finished
  }
}
