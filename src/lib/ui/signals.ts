import type {EventEmitter} from 'node:events'
import {type StopSignal, signalExitCodes, stoppedBy} from './outcome.js'

/** What happens to the process from outside; `process` is one. */
export type SignalSource = Pick<EventEmitter, 'off' | 'on'>

type Listener = (...args: unknown[]) => void

export interface SignalActions {
  /** Ends the process at once. */
  exit(code: number): void
  /** An error that nobody caught: the run is stopped as by a signal, so that it takes back what it can. */
  onCrash(error: unknown): void
  /** The first signal. */
  onFirst(signal: StopSignal): void
  /** Any signal after it: says what is left behind; `exit` follows. */
  onSecond(signal: StopSignal): void
  /** Ctrl-Z. */
  onSuspend(): void
}

const stopSignals = Object.keys(signalExitCodes) as StopSignal[]

/** Stops a run on the first signal and leaves at once on the second. */
export class SignalWatch {
  readonly controller = new AbortController()
  /** The signal that stopped the run. */
  first: StopSignal | undefined
  private readonly listeners: [string, Listener][]

  constructor(
    private readonly source: SignalSource,
    private readonly actions: SignalActions,
    /** What somebody should know who sees nothing but why it ended. */
    private readonly told: Parameters<typeof stoppedBy>[1] = {},
  ) {
    this.listeners = [
      ...stopSignals.map((signal): [string, Listener] => [signal, () => this.stop(signal)]),
      // A stopped process could not take a deny back: the terminal's Ctrl-Z is answered, not obeyed.
      ['SIGTSTP', () => actions.onSuspend()],
      ['uncaughtException', (error: unknown) => this.crash(error)],
      ['unhandledRejection', (error: unknown) => this.crash(error)],
    ]
    // `on`, not `once`: signal-exit raises a signal again when it finds itself the last listener.
    for (const [event, listener] of this.listeners) source.on(event, listener)
  }

  dispose(): void {
    for (const [event, listener] of this.listeners) this.source.off(event, listener)
  }

  /** A signal, or Ctrl-C in a prompt, which reaches no signal handler. */
  stop(signal: StopSignal): void {
    if (this.first === undefined) {
      this.first = signal
      this.actions.onFirst(signal)
      this.controller.abort(stoppedBy(signal, this.told))
      return
    }

    try {
      this.actions.onSecond(signal)
    } finally {
      this.actions.exit(signalExitCodes[signal])
    }
  }

  private crash(error: unknown): void {
    this.actions.onCrash(error)
    this.controller.abort(error instanceof Error ? error : new Error(String(error)))
  }
}
