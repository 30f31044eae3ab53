/** A write that a client was told is done; `value` undefined: a delete. */
export interface AcknowledgedWrite {
  /** On the clock's `nowMs` scale, when the answer came. */
  atMs: number
  key: string
  partitionIndex: number
  value: string | undefined
}

/** A key whose value is not what it must be. */
export interface WrongKey {
  /** What it may be; undefined: no such row. */
  acceptable: (string | undefined)[]
  found: string | undefined
  key: string
}

interface KeyState {
  /** Changes with every attempt and answer. */
  generation: number
  /** Last acknowledged value. */
  last: string | undefined
  /** Attempts since then whose answer has not come, or never came: they may or may not have happened. */
  open: Set<{value: string | undefined}>
}

/** One write under way. */
export interface Attempt {
  acknowledged(atMs: number, partitionIndex: number): void
  /** The server said that it did nothing. */
  refused(): void
  /** No answer: it may have happened, and counts as possible until the key's next acknowledged write. */
  unanswered(): void
}

/** What clients were told about each key, and so which values a reader may find. */
export class LoadLedger {
  readonly history: AcknowledgedWrite[] = []
  private readonly busy = new Set<string>()
  private readonly keys = new Map<string, KeyState>()

  /** Whether a write of this key is under way: a second one at the same time would leave the order open. */
  isBusy(key: string): boolean {
    return this.busy.has(key)
  }

  get touched(): string[] {
    return [...this.keys.keys()]
  }

  /** What a reader may find now; undefined among them: no such row. */
  acceptable(key: string): (string | undefined)[] {
    const state = this.keys.get(key)
    return state ? [state.last, ...[...state.open].map(({value}) => value)] : [undefined]
  }

  begin(key: string, value: string | undefined): Attempt {
    const state = this.keys.get(key) ?? {generation: 0, last: undefined, open: new Set()}
    this.keys.set(key, state)
    const attempt = {value}
    state.open.add(attempt)
    state.generation++
    this.busy.add(key)
    const end = () => {
      state.generation++
      this.busy.delete(key)
    }

    return {
      acknowledged: (atMs, partitionIndex) => {
        state.last = value
        state.open.clear()
        end()
        this.history.push({atMs, key, partitionIndex, value})
      },
      refused() {
        state.open.delete(attempt)
        end()
      },
      unanswered: end,
    }
  }

  /** Reads a key until no write came in between; then tells what is wrong with it, if anything. */
  async check(key: string, read: (key: string) => Promise<string | undefined>): Promise<undefined | WrongKey> {
    const state = this.keys.get(key)
    if (!state) return undefined
    for (;;) {
      const {generation} = state
      const found = await read(key)
      const acceptable = this.acceptable(key)
      if (acceptable.includes(found)) return undefined
      if (state.generation === generation) return {acceptable, found, key}
    }
  }
}
