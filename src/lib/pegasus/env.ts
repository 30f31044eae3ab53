import type {Clock} from '../clock.js'
import type {Transport} from '../rpc/transport.js'

/** What is injected everywhere: time, connections and chance. */
export interface Environment {
  /** Between two questions to a server that is asked calmly, default 1 s; less where all timers are shorter. */
  calmMs?: number
  clock: Clock
  /** In [0, 1), as Math.random. */
  random: () => number
  /** IPv4 addresses of a host name; default: the machine's resolver. */
  resolve?(host: string): Promise<string[]>
  transport: Transport
}

/** Limits of one operation on a cluster or server. */
export interface CallLimits {
  /** How long to look for a meta leader, default `timeoutMs`; 60 s rides out a leader's death (measured.md §10). */
  patienceMs?: number
  signal?: AbortSignal
  /** Of one exchange with one server, default 10 s. */
  timeoutMs?: number
}

export const DEFAULT_TIMEOUT_MS = 10_000
