import type {Clock, Timer} from '../../src/lib/clock.js'

interface Pending {
  atMs: number
  callback: () => void
  cancelled: boolean
  order: number
}

/** What is left of a wait by an error of rounding passes too: a loop that sleeps for it would never end. */
const SHORTEST_MS = 1e-6

/**
 * Time that passes only when it is told to. Timers fire in order of time, then of creation; between two of them
 * everything that the first one set in motion (promises, in-memory streams) comes to rest. So a run is fast and
 * repeats exactly, as long as nothing in it does real input or output.
 */
export class VirtualClock implements Clock {
  private heap: Pending[] = []
  private now = 0
  private order = 0

  constructor(private readonly startWallMs = 1_767_225_600_000) {}

  nowMs(): number {
    return this.now
  }

  wallMs(): number {
    return Math.round(this.startWallMs + this.now)
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const pending: Pending = {
      atMs: delayMs > 0 ? this.now + Math.max(SHORTEST_MS, delayMs) : this.now,
      callback,
      cancelled: false,
      order: this.order++,
    }
    this.push(pending)
    return {
      cancel() {
        pending.cancelled = true
      },
    }
  }

  /** Lets `ms` pass. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.now + ms
    await settle()
    await oneByOne(() => {
      const next = this.next()
      return next !== undefined && next.atMs <= untilMs && this.fire(next)
    })
    this.now = untilMs
    await settle()
  }

  /**
   * Lets time pass until `promise` is settled.
   * @throws what it rejects with, or an Error when `limitMs` pass or no timer is left while it is pending
   */
  async run<T>(promise: Promise<T>, limitMs = 24 * 3_600_000): Promise<T> {
    const untilMs = this.now + limitMs
    let settled = false
    const watched = promise.finally(() => {
      settled = true
    })
    watched.catch(() => {})
    await settle()
    while (!settled) {
      const next = this.next()
      if (!next) throw new Error('nothing left to happen, and the promise is still pending')
      if (next.atMs > untilMs) throw new Error(`still pending after ${limitMs} virtual ms`)
      await oneByOne(() => {
        if (settled) return false
        const following = this.next()
        return following !== undefined && following.atMs <= untilMs && this.fire(following)
      })
      await settle()
    }

    return watched
  }

  private fire(pending: Pending): true {
    this.pop()
    this.now = Math.max(this.now, pending.atMs)
    pending.callback()
    return true
  }

  private next(): Pending | undefined {
    while (this.heap[0]?.cancelled) this.pop()
    return this.heap[0]
  }

  private push(pending: Pending): void {
    const heap = this.heap
    let i = heap.push(pending) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(pending, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }

    heap[i] = pending
  }

  private pop(): void {
    const heap = this.heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }

    heap[i] = last
  }
}

function before(a: Pending, b: Pending): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

/** A turn of the event loop runs every promise and next-tick there is; two, for what waits for a turn itself. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve)
    })
  }
}

const STEPS_PER_TURN = 64

/**
 * Takes one step after another until one returns false. Between two of them every promise and next-tick runs that the
 * first one set in motion, as it does between any two immediates; a turn of the event loop is much dearer than they are.
 */
function oneByOne(step: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    let isOver = false
    const take = () => {
      if (isOver) return
      try {
        isOver = !step()
        if (isOver) resolve()
      } catch (error) {
        isOver = true
        reject(error)
      }
    }

    const turn = () => {
      if (isOver) return
      for (let i = 0; i < STEPS_PER_TURN; i++) setImmediate(take)
      setImmediate(turn)
    }

    turn()
  })
}
