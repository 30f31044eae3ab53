import type {SimulatedCluster} from './cluster.js'
import type {FaultFilter} from './faults.js'
import type {Table} from './meta/state.js'
import {encodeKey, keyHash} from './replica/key.js'

export interface CreateTableOptions {
  atomicIdempotent?: boolean
  envs?: Record<string, string>
  partitionCount: number
  /** All replicas at once (default); false: as real metas do, step by step. */
  ready?: boolean
  replicaCount: number
}

/** A row for `loadRows`: whole key, or hash key and sort key. */
export type LoadedRow = {expireTs?: number; value: Buffer | string} & (
  {hashKey: Buffer | string; sortKey?: Buffer | string} | {key: Buffer}
)

const bytesOf = (v: Buffer | string): Buffer => (typeof v === 'string' ? Buffer.from(v) : v)

/** What tests may do to a cluster from outside: tables and rows, deaths, moves, faults of calls. */
export abstract class Switchboard {
  /* Tables and rows */

  /** Makes a table without asking a meta. @returns its id */
  async createTable(this: SimulatedCluster, name: string, options: CreateTableOptions): Promise<number> {
    if (this.state.tableNamed(name)) throw new Error(`table ${name} exists already`)
    const table = this.state.addTable({
      atomicIdempotent: options.atomicIdempotent ?? false,
      envs: new Map(Object.entries(options.envs ?? {})),
      name,
      partitionCount: options.partitionCount,
      replicaCount: options.replicaCount,
    })
    if (options.ready ?? true) {
      this.guardian.placeNow(table)
      // As if it had been there for a while: every replica knows its table's envs.
      for (const server of this.servers)
        for (const r of server.replicas) if (r.app.appId === table.info.appId) r.applyTable(table.info)
    } else {
      this.guardian.place(table)
    }

    return table.info.appId
  }

  table(this: SimulatedCluster, name: string): Table {
    const table = this.state.tableNamed(name)
    if (!table) throw new Error(`no table ${name} on ${this.name}`)
    return table
  }

  /** Fills a table that is not duplicated: as if its rows had been written long ago, one decree each. */
  loadRows(this: SimulatedCluster, name: string, rows: Iterable<LoadedRow>): void {
    const table = this.table(name)
    if (table.info.duplicating) throw new Error(`${name} is duplicated: rows that are loaded would not be shipped`)
    const counts = table.partitions.map(() => 0)
    for (const row of rows) {
      const key = 'key' in row ? row.key : encodeKey(bytesOf(row.hashKey), bytesOf(row.sortKey ?? ''))
      const index = Number(keyHash(key) % BigInt(table.partitions.length))
      table.partitions[index]!.rows.put(key, bytesOf(row.value), row.expireTs ?? 0)
      counts[index]!++
    }

    for (const [index, partition] of table.partitions.entries()) {
      partition.beginAt(partition.committed + counts[index]!)
      partition.clientWrites += counts[index]!
    }
  }

  /** The rows that the table holds now, by the hex of their whole key; expired ones left out. */
  rows(this: SimulatedCluster, name: string): Map<string, {expireTs: number; value: Buffer}> {
    const now = this.world.expireNow()
    const result = new Map<string, {expireTs: number; value: Buffer}>()
    for (const partition of this.table(name).partitions) {
      for (const {expireTs, key, value} of partition.rows.snapshot()) {
        if (expireTs === 0 || expireTs > now) result.set(key.toString('hex'), {expireTs, value})
      }
    }

    return result
  }

  /** Address of a partition's primary. */
  primaryOf(this: SimulatedCluster, name: string, partitionIndex: number): string | undefined {
    return this.table(name).memberships[partitionIndex]?.primary
  }

  /* Deaths and moves */

  /** Kills the meta that leads (kill -9; a graceful stop is no better, measured.md §10). @returns its address */
  async killMetaLeader(this: SimulatedCluster): Promise<string> {
    const {leader} = this
    if (!leader) throw new Error('no meta leads')
    await this.processDied(leader)
    return leader.address
  }

  async killMeta(this: SimulatedCluster, index: number): Promise<void> {
    await this.processDied(this.metaServers[index]!)
  }

  async startMeta(this: SimulatedCluster, index: number): Promise<void> {
    await this.processStarted(this.metaServers[index]!)
  }

  async killServer(this: SimulatedCluster, address: string): Promise<void> {
    await this.processDied(this.serverOf(address))
  }

  async startServer(this: SimulatedCluster, address: string): Promise<void> {
    await this.processStarted(this.serverOf(address))
  }

  /** Moves a primary, as the balancer does at level lively. */
  movePrimary(this: SimulatedCluster, name: string, partitionIndex: number, to: string): void {
    this.guardian.movePrimary(this.table(name), partitionIndex, this.serverOf(to).address)
  }

  /** The server never config-syncs again: envs never reach it. */
  stopTicks(this: SimulatedCluster, address: string): void {
    this.serverOf(address).ticksStopped = true
  }

  resumeTicks(this: SimulatedCluster, address: string): void {
    this.serverOf(address).ticksStopped = false
  }

  /** The server loses its metas at once: everything on it answers ERR_INVALID_STATE. */
  disconnect(this: SimulatedCluster, address: string): void {
    this.serverOf(address).connected = false
  }

  reconnect(this: SimulatedCluster, address: string): void {
    const server = this.serverOf(address)
    server.connected = true
    server.configSync()
  }

  /** From prepare to commit on this server's primaries. */
  setPrepareDelay(this: SimulatedCluster, address: string, delayMs: number): void {
    this.serverOf(address).prepareDelayMs = delayMs
  }

  /** A duplication cannot read what this server's primaries log: it waits, or leaves it out in FAIL_SKIP. */
  setLogUnreadable(this: SimulatedCluster, address: string, unreadable: boolean): void {
    this.serverOf(address).logUnreadable = unreadable
  }

  /* Calls; see FaultRules for what each does */

  delayReplies(this: SimulatedCluster, call: string, delayMs: number, filter?: FaultFilter): void {
    this.faults.delayReplies(call, delayMs, filter)
  }

  /** The call takes effect late, and is answered then. */
  delayCalls(this: SimulatedCluster, call: string, delayMs: number, filter?: FaultFilter): void {
    this.faults.delayCalls(call, delayMs, filter)
  }

  /** The next `count` calls take effect and are never answered. */
  dropReplies(this: SimulatedCluster, call: string, count: number, filter?: FaultFilter): void {
    this.faults.loseAnswer(call, {...filter, count})
  }

  loseAnswer(this: SimulatedCluster, call: string, filter?: FaultFilter): void {
    this.faults.loseAnswer(call, filter)
  }

  ignoreCalls(this: SimulatedCluster, call: string, filter?: FaultFilter): void {
    this.faults.ignoreCalls(call, filter)
  }

  closeAfter(this: SimulatedCluster, call: string, filter?: FaultFilter): void {
    this.faults.closeAfter(call, filter)
  }

  failCall(this: SimulatedCluster, call: string, error: string, filter?: FaultFilter): void {
    this.faults.failCall(call, error, filter)
  }

  /** The server takes everything and answers nothing, until told otherwise. */
  setSilent(this: SimulatedCluster, address: string, silent: boolean): void {
    if (silent) this.faults.silent.add(address)
    else this.faults.silent.delete(address)
  }

  /* Configuration */

  /** A flag in memory, as `/updateConfig` sets it: lost when the server restarts. */
  setFlag(this: SimulatedCluster, address: string, name: string, value: string): void {
    const process = this.processes.find((p) => p.address === address)
    const flag = process?.config.flags.get(name)
    if (!flag) throw new Error(`no flag ${name} at ${address}`)
    flag.value = value
  }

  /** Takes a cluster out of `[duplication-group]` and `[pegasus.clusters]` of one server's config file. */
  removeDuplicationConfig(this: SimulatedCluster, address: string, clusterName: string): void {
    this.editConfig(address, (config) => {
      config.delete('duplication-group', clusterName)
      config.delete('pegasus.clusters', clusterName)
    })
  }

  /** Free room that the server's disks report, in MB. */
  setDiskAvailable(this: SimulatedCluster, address: string, mb: number): void {
    this.serverOf(address).diskAvailableMb = mb
  }

  /** Makes it a table of an old server (protocol.md §5). */
  setDataVersion(this: SimulatedCluster, name: string, version: number): void {
    this.table(name).dataVersion = version
  }

  protected serverOf(this: SimulatedCluster, address: string) {
    const server = this.serverAt(address)
    if (!server) throw new Error(`no replica server of ${this.name} at ${address}`)
    return server
  }
}
