import {type Clock, sleep} from '../clock.js'
import {isMigratorError, MigratorError, messageOf} from '../errors.js'
import {metaCalls} from '../rpc/calls.js'
import type {ConnectionPool} from '../rpc/pool.js'
import {abortedError, excerpt} from '../rpc/rpc-errors.js'
import type {QueryCfgResponse} from '../rpc/structs/table.js'

const QUERY_TIMEOUT_MS = 2000
const ROUND_PAUSE_MS = 500
const NOT_ACTIVE_PAUSE_MS = 1000

/** A name that no table has: every meta answers it, a leader with ERR_OBJECT_NOT_FOUND. */
const NO_TABLE = '__who_is_the_leader__'

export interface LeaderSearch {
  /** What the leader is wanted for; for messages. */
  call: string
  /** On the clock's `nowMs` scale. */
  endMs: number
  metas: string[]
  signal?: AbortSignal
}

/**
 * Asks all metas for a table's configuration, a read that only the leader answers, and follows the hint of
 * followers, until one answers as leader (protocol.md §2).
 * @throws MigratorError meta.no_leader with what each meta said last, rpc.unauthenticated, rpc.aborted
 */
export async function findLeader(pool: ConnectionPool, clock: Clock, search: LeaderSearch): Promise<string> {
  const startMs = clock.nowMs()
  const seen = new Map<string, string>()
  for (;;) {
    const round = new Round(pool, search.metas, seen, search.signal)
    const leader = await round.run(Math.max(1, Math.min(QUERY_TIMEOUT_MS, search.endMs - clock.nowMs())))
    if (leader !== undefined) return leader
    const site = {address: search.metas.join(','), call: search.call}
    if (search.signal?.aborted) throw abortedError(site, search.signal.reason)
    const pauseMs = round.sawNotActive ? NOT_ACTIVE_PAUSE_MS : ROUND_PAUSE_MS
    const remainingMs = search.endMs - clock.nowMs()
    if (remainingMs <= 0) throw noLeader(search, seen, Math.round(clock.nowMs() - startMs))
    try {
      await sleep(clock, Math.min(pauseMs, remainingMs), search.signal)
    } catch (error) {
      throw abortedError(site, error)
    }
  }
}

/** One question to every meta at once, and to those that followers name. */
class Round {
  sawNotActive = false
  private readonly asked = new Set<string>()
  private readonly done = new AbortController()
  private leader: string | undefined
  private hopeless: MigratorError | undefined

  constructor(
    private readonly pool: ConnectionPool,
    private readonly metas: string[],
    private readonly seen: Map<string, string>,
    private readonly signal?: AbortSignal,
  ) {}

  async run(timeoutMs: number): Promise<string | undefined> {
    const onAbort = () => this.done.abort(this.signal!.reason)
    if (this.signal?.aborted) return undefined
    this.signal?.addEventListener('abort', onAbort, {once: true})
    try {
      await Promise.all(this.metas.map((meta) => this.ask(meta, timeoutMs)))
    } finally {
      this.signal?.removeEventListener('abort', onAbort)
    }

    if (this.leader === undefined && this.hopeless) throw this.hopeless
    return this.leader
  }

  private async ask(meta: string, timeoutMs: number): Promise<void> {
    if (this.asked.has(meta)) return
    this.asked.add(meta)
    try {
      const options = {idempotent: true, signal: this.done.signal, timeoutMs}
      const request = {appName: NO_TABLE, partitionIndices: []}
      const response = await this.pool.call(meta, metaCalls.queryConfig, request, options)
      this.seen.set(meta, excerpt(response.err, 80))
      if (response.err === 'ERR_SERVICE_NOT_ACTIVE') this.sawNotActive = true
      else if (response.err === 'ERR_FORWARD_TO_OTHERS') await this.follow(response, timeoutMs)
      else if (this.leader === undefined) {
        this.leader = meta
        this.done.abort(new Error(`${meta} is the leader`))
      }
    } catch (error) {
      if (this.done.signal.aborted) return
      if (!isMigratorError(error)) throw error
      // Neither changes by asking again: Kerberos is demanded, or the client was closed.
      if (error.code === 'rpc.unauthenticated' || error.code === 'rpc.aborted') this.hopeless = error
      this.seen.set(meta, excerpt(messageOf(error)))
    }
  }

  private async follow(response: QueryCfgResponse, timeoutMs: number): Promise<void> {
    const hint = response.partitions[0]?.primary
    if (hint) await this.ask(hint, timeoutMs)
  }
}

function noLeader(search: LeaderSearch, seen: Map<string, string>, waitedMs: number): MigratorError {
  const answers = [...seen].map(([meta, said]) => `${meta}: ${said}`).join('; ')
  return new MigratorError('meta.no_leader', `no meta leader for ${search.call} within ${waitedMs} ms (${answers})`, {
    facts: {answers, call: search.call, metas: search.metas.join(','), waitedMs},
    next: 'See that these metas run and can be reached from here, or correct their addresses; then run the same command again.',
    retrySafe: true,
  })
}
