import {type Clock, sleep} from '../clock.js'
import {type ErrorFacts, isMigratorError, MigratorError} from '../errors.js'
import {type Call, metaCalls} from '../rpc/calls.js'
import type {ConnectionPool} from '../rpc/pool.js'
import {abortedError, excerpt} from '../rpc/rpc-errors.js'
import {type CallLimits, DEFAULT_TIMEOUT_MS, type Environment} from './env.js'
import {findLeader, type LeaderSearch} from './leader.js'

/** Answers of a meta that is not (yet) the leader: nothing was executed (protocol.md §2). */
const FORWARD = 'ERR_FORWARD_TO_OTHERS'
const NOT_ACTIVE = 'ERR_SERVICE_NOT_ACTIVE'

/** Answers that say nothing was executed and that may change soon. */
const RETRY_LATER = new Set(['ERR_BUSY', 'ERR_BUSY_CREATING', 'ERR_BUSY_DROPPING', FORWARD, NOT_ACTIVE])

const MIN_ATTEMPT_MS = 1000
const PAUSE_MS = 200
const NOT_ACTIVE_PAUSE_MS = 1000

export interface MetaCallOptions extends CallLimits {
  /** Whether the call may be sent again after its reply was lost. */
  idempotent: boolean
}

/** The error in a meta's answer, such as `ERR_APP_NOT_EXIST`, of a `meta.error`; else undefined. */
export function metaErrorName(error: unknown): string | undefined {
  return isMigratorError(error, 'meta.error') ? String(error.facts.err) : undefined
}

/** Calls the leader among the metas of one cluster and follows it when it changes. */
export class MetaClient {
  private readonly clock: Clock
  private known: string | undefined

  constructor(
    env: Environment,
    private readonly pool: ConnectionPool,
    readonly metas: string[],
  ) {
    if (metas.length === 0) throw new TypeError('a cluster needs at least one meta server')
    this.clock = env.clock
  }

  /**
   * Calls the leader. A call that is not idempotent goes to one meta at a time, and to another (or again) only when
   * the answer proves that it was not executed.
   * @throws MigratorError meta.error (facts call, err, hint, meta), meta.no_leader, or as `ConnectionPool.call`
   */
  async call<Q, S extends {err: string}>(call: Call<Q, S>, request: Q, options: MetaCallOptions): Promise<S> {
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const endMs = this.clock.nowMs() + Math.max(timeoutMs, options.patienceMs ?? timeoutMs)
    let notActive = 0
    for (;;) {
      // Before a call that is sent once, a question that may be repeated: it finds stale connections and old leaders.
      const known = options.idempotent ? this.known : undefined
      const meta = known ?? (await this.search({call: call.name, endMs, signal: options.signal}))
      this.known = meta
      const attemptMs = options.idempotent ? this.shareMs(timeoutMs, endMs - this.clock.nowMs()) : timeoutMs
      try {
        const {idempotent, signal} = options
        const response = await this.pool.call(meta, call, request, {idempotent, signal, timeoutMs: attemptMs})
        if (response.err === 'ERR_OK') return response
        const answer = {call: call.name, err: response.err, hint: hintOf(response), meta}
        // A leader that the search found to be active and that says this again has the feature switched off.
        const starting = response.err === NOT_ACTIVE && ++notActive === 1
        if (!(starting || response.err === FORWARD) || this.clock.nowMs() >= endMs) throw metaError(answer, response)
        this.known = undefined
        await this.pause(starting ? NOT_ACTIVE_PAUSE_MS : PAUSE_MS, call.name, meta, options.signal)
      } catch (error) {
        if (!isMigratorError(error, 'rpc.connect', 'rpc.timeout', 'rpc.connection_lost')) throw error
        this.known = undefined
        if (!error.retrySafe || this.clock.nowMs() >= endMs) throw error
        await this.pause(PAUSE_MS, call.name, meta, options.signal)
      }
    }
  }

  /** The meta that answers as leader right now. @throws MigratorError meta.no_leader */
  async leader(limits: CallLimits = {}): Promise<string> {
    const patienceMs = limits.patienceMs ?? limits.timeoutMs ?? DEFAULT_TIMEOUT_MS
    this.known = undefined
    const endMs = this.clock.nowMs() + patienceMs
    this.known = await this.search({call: metaCalls.queryConfig.name, endMs, signal: limits.signal})
    return this.known
  }

  private search(search: Omit<LeaderSearch, 'metas'>): Promise<string> {
    return findLeader(this.pool, this.clock, {...search, metas: this.metas})
  }

  /** A silent leader must leave time to find and ask its successor; a late one is still asked properly. */
  private shareMs(timeoutMs: number, remainingMs: number): number {
    const shareMs = this.metas.length > 1 ? timeoutMs / 2 : timeoutMs
    return Math.min(timeoutMs, Math.max(MIN_ATTEMPT_MS, Math.min(shareMs, remainingMs)))
  }

  private async pause(delayMs: number, call: string, address: string, signal?: AbortSignal): Promise<void> {
    try {
      await sleep(this.clock, delayMs, signal)
    } catch (error) {
      throw abortedError({address, call}, error)
    }
  }
}

function hintOf(response: object): string {
  const hint: unknown = 'hint' in response ? response.hint : undefined
  return typeof hint === 'string' ? excerpt(hint) : ''
}

function metaError(answer: {call: string; err: string; hint: string; meta: string}, response: object): MigratorError {
  const {call, err, hint, meta} = answer
  const facts: ErrorFacts = {...answer, err: excerpt(err, 80)}
  if ('dupid' in response && typeof response.dupid === 'number') facts.dupid = response.dupid
  return new MigratorError('meta.error', `${meta} answered ${facts.err} to ${call}${hint && `: ${hint}`}`, {
    facts,
    retrySafe: RETRY_LATER.has(err),
  })
}
