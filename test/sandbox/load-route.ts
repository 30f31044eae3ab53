import {sleep} from '../../src/lib/clock.js'
import {isMigratorError, MigratorError} from '../../src/lib/errors.js'
import {queryProxy} from '../../src/lib/metaproxy/proxy.js'
import type {PegasusClient} from '../../src/lib/pegasus/client.js'

/** Who tells a client where a table is. */
export type LoadTarget = {metaproxy: string} | {metas: string[]}

export interface RouteConfiguration {
  appId: number
  partitionCount: number
  /** By partition. */
  primaries: string[]
}

const QUERY_TIMEOUT_MS = 10_000
/** As the Go client does. */
export const REFRESH_EVERY_MS = 1000

/** Keeps a table's configuration as the Go client does: asked for again in the background, then a rest. */
export class LoadRoute {
  queries = 0
  private current: RouteConfiguration | undefined
  private readonly ending = new AbortController()
  private loop: Promise<void> | undefined
  private wanted = false

  constructor(
    private readonly client: PegasusClient,
    private readonly table: string,
    private readonly target: LoadTarget,
    private readonly restMs = REFRESH_EVERY_MS,
  ) {}

  get configuration(): RouteConfiguration {
    if (!this.current) throw new Error('the route is not open')
    return this.current
  }

  async close(): Promise<void> {
    this.ending.abort(new Error('the route was closed'))
    await this.loop
  }

  /** @throws MigratorError when the table cannot be found */
  async open(): Promise<void> {
    this.current = await this.query()
  }

  /** Asks again soon. Returns at once. */
  refresh(): void {
    this.wanted = true
    this.loop ??= this.run().finally(() => {
      this.loop = undefined
    })
  }

  private async query(): Promise<RouteConfiguration> {
    this.queries++
    const limits = {signal: this.ending.signal, timeoutMs: QUERY_TIMEOUT_MS}
    const {table, target} = this
    const found =
      'metaproxy' in target
        ? await queryProxy(this.client.pool, target.metaproxy, table, limits)
        : await this.client.cluster(target.metas).configuration(table, limits)
    const primaries =
      'primaries' in found
        ? found.primaries
        : found.partitions.flatMap(({primary}) => (primary === null ? [] : [primary]))
    if (primaries.length !== found.partitionCount) {
      throw new MigratorError('load.no_primary', `${table} has partitions without a primary`, {retrySafe: true})
    }

    return {appId: found.appId, partitionCount: found.partitionCount, primaries}
  }

  private async run(): Promise<void> {
    while (this.wanted && !this.ending.signal.aborted) {
      try {
        this.current = await this.query()
      } catch (error) {
        // The old one stays in use; the next failed write asks again.
        if (!isMigratorError(error)) throw error
      }

      this.wanted = false
      try {
        await sleep(this.client.env.clock, this.restMs, this.ending.signal)
      } catch {
        return
      }
    }
  }
}
