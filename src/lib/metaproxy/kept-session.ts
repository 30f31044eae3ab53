import {unlessAborted} from '../rpc/signals.js'
import type {Session} from './zookeeper-session.js'

/** Whoever uses the session; must leave. */
export interface Place {
  /** @param session goes on being kept; without one the next has to open another */
  leave(session?: Session): void
  /** What is open from before. */
  session: Session | undefined
}

/** One session that stays open between operations, used by one at a time. */
export class KeptSession {
  private ended = false
  private idle: Session | undefined
  private turn: Promise<void> = Promise.resolve()

  /** @param dismiss ends a session in the background */
  constructor(private readonly dismiss: (session: Session) => void) {}

  /** Keeps nothing any more. */
  end(): void {
    this.ended = true
    const {idle} = this
    this.idle = undefined
    if (idle) this.dismiss(idle)
  }

  /** Waits until nobody else uses it. @throws the signal's reason */
  async enter(signal: AbortSignal): Promise<Place> {
    const before = this.turn
    let free!: () => void
    const mine = new Promise<void>((resolve) => {
      free = resolve
    })
    this.turn = before.then(() => mine)
    try {
      await unlessAborted(before, signal)
    } catch (error) {
      free()
      throw error
    }

    const {idle} = this
    this.idle = undefined
    return {
      leave: (session) => {
        if (session && this.ended) this.dismiss(session)
        else this.idle = session
        free()
      },
      // One that lost its connection, or expired, is of no use.
      session: idle?.isOver ? undefined : idle,
    }
  }
}
