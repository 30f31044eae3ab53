import {sleep} from '../../../src/lib/clock.js'
import {dataCalls} from '../../../src/lib/rpc/calls.js'
import {type DuplicationFailMode, DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import type {Sandbox, VirtualClock} from '../index.js'
import {PeerClient} from '../peer-client.js'
import {DENY_ENV} from '../replica/deny.js'
import {encodeKey, keyHash} from '../replica/key.js'

/** Longer than a config sync of any server. */
const SYNC_MS = 31_000

/** Brings a sandbox into the states in which the golden answers were captured, always forward. */
export class GoldenScenario {
  constructor(
    readonly sandbox: Sandbox,
    private readonly clock: VirtualClock,
  ) {}

  private get source() {
    return this.sandbox.source
  }

  wait(ms: number): Promise<void> {
    return sleep(this.clock, ms)
  }

  async ensureTable(name: string): Promise<void> {
    if (!this.source.state.tableNamed(name)) await this.source.createTable(name, {partitionCount: 4, replicaCount: 3})
  }

  /** The rows that the data cases of the golden files find. */
  loadRows(name: string): void {
    const rows = Array.from({length: 40}, (_, i) => ({
      hashKey: `row${String(i).padStart(2, '0')}`,
      sortKey: 's',
      value: `value ${i}`,
    }))
    const now = this.source.world.expireNow()
    this.source.loadRows(name, [
      ...rows,
      {hashKey: 'alice', sortKey: 's1', value: 'v1'},
      {expireTs: now + 3600, hashKey: 'alice', sortKey: 'ttl', value: 'v'},
      {hashKey: 'cnt', sortKey: 'c', value: '5'},
    ])
  }

  /** Sets or lifts the deny, and lets it reach every server. */
  async deny(name: string, value: string | undefined): Promise<void> {
    const {envs} = this.source.table(name).info
    if (value === undefined) envs.delete(DENY_ENV)
    else envs.set(DENY_ENV, value)
    await this.wait(SYNC_MS)
  }

  hasDuplication(name: string): boolean {
    return this.source.state.duplications.of(this.source.table(name).info.appId).length > 0
  }

  addDuplication(name: string): void {
    if (this.hasDuplication(name)) return
    const added = this.source.state.duplications.add({appName: name, remoteClusterName: this.sandbox.target.name})
    if (added.err !== 'ERR_OK') throw new Error(`add: ${added.err} ${added.hint ?? ''}`)
  }

  /** Waits for a duplication's status; adds it first when there is none. */
  async untilStatus(name: string, status: DuplicationStatus): Promise<void> {
    const {appId} = this.source.table(name).info
    this.addDuplication(name)

    for (let waitedMs = 0; this.source.state.duplications.of(appId)[0]?.status !== status; waitedMs += 100) {
      if (waitedMs > 200_000) throw new Error(`${name} never reached ${DuplicationStatus[status]}`)
      await this.wait(100)
    }
  }

  modify(name: string, status: DuplicationStatus): void {
    const {appId} = this.source.table(name).info
    const {dupid} = this.source.state.duplications.of(appId)[0]!
    const {err} = this.source.state.duplications.modify({appName: name, dupid, status})
    if (err !== 'ERR_OK') throw new Error(`modify: ${err}`)
  }

  /** Writes one row through the wire, so that it is in the log. */
  async write(name: string, hashKey: string): Promise<void> {
    const table = this.source.table(name)
    const key = encodeKey(Buffer.from(hashKey), Buffer.from('s'))
    const partitionIndex = Number(keyHash(key) % BigInt(table.partitions.length))
    const client = new PeerClient(this.sandbox.transport, this.clock)
    const request = {expireTsSeconds: 0, key, value: Buffer.from('x')}
    const pid = {appId: table.info.appId, partitionIndex}
    await client.call(this.source.primaryOf(name, partitionIndex)!, dataCalls.put, request, {pid, timeoutMs: 5000})
    client.close()
  }

  get isMaster(): boolean {
    return this.source.spec.traits.isMaster
  }

  hasRow(name: string, hashKey: string, sortKey: string): boolean {
    return this.source.rows(name).has(encodeKey(Buffer.from(hashKey), Buffer.from(sortKey)).toString('hex'))
  }

  setEnv(name: string, key: string, value: string | undefined): void {
    const {envs} = this.source.table(name).info
    if (value === undefined) envs.delete(key)
    else envs.set(key, value)
  }

  setFailMode(name: string, failMode: DuplicationFailMode): void {
    for (const d of this.source.state.duplications.of(this.source.table(name).info.appId)) d.failMode = failMode
  }

  async reviveServers(): Promise<void> {
    for (const server of this.source.servers) await this.source.startServer(server.address)
    await this.wait(10_000)
  }

  async killAServer(waitMs: number): Promise<void> {
    const victim = this.source.servers.at(-1)!
    if (victim.alive) await this.source.killServer(victim.address)
    await this.wait(waitMs)
  }
}
