import {type Clock, sleep} from '../../src/lib/clock.js'
import {type Call, dataCalls, metaCalls, type ResponseOf, serverCalls} from '../../src/lib/rpc/calls.js'
import {type DuplicationFailMode, DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {CasCheckType} from '../../src/lib/rpc/structs/rrdb.js'
import {AppEnvOperation} from '../../src/lib/rpc/structs/table.js'
import type {SimulatedCluster} from './cluster.js'
import type {Sandbox} from './index.js'
import {PeerClient} from './peer-client.js'
import {encodeKey, keyHash} from './replica/key.js'

const TIMEOUT_MS = 3000

/** What the tests of the sandbox itself send; it knows nothing of src/lib/pegasus, and asks the sandbox for routes. */
export class TestClient {
  readonly peers: PeerClient

  constructor(
    private readonly sandbox: Sandbox,
    private readonly clock: Clock,
  ) {
    this.peers = new PeerClient(sandbox.transport, clock)
  }

  /* Metas */

  meta<Q, S>(
    cluster: SimulatedCluster,
    call: Call<Q, S>,
    request: Q,
    address = cluster.knownLeader.address,
  ): Promise<S> {
    return this.peers.call(address, call, request, {timeoutMs: TIMEOUT_MS})
  }

  setEnv(cluster: SimulatedCluster, appName: string, key: string, value: string) {
    const request = {appName, keys: [key], op: AppEnvOperation.APP_ENV_OP_SET, values: [value]}
    return this.meta(cluster, metaCalls.updateAppEnv, request)
  }

  deleteEnv(cluster: SimulatedCluster, appName: string, key: string) {
    return this.meta(cluster, metaCalls.updateAppEnv, {appName, keys: [key], op: AppEnvOperation.APP_ENV_OP_DEL})
  }

  add(appName: string, isDuplicatingCheckpoint = true, from = this.sandbox.source, to = this.sandbox.target) {
    const request = {appName, isDuplicatingCheckpoint, remoteClusterName: to.name}
    return this.meta(from, metaCalls.addDuplication, request)
  }

  async modify(
    appName: string,
    change: {failMode?: DuplicationFailMode; status?: DuplicationStatus},
    from = this.sandbox.source,
  ): Promise<ResponseOf<typeof metaCalls.modifyDuplication>> {
    const {entries} = await this.meta(from, metaCalls.queryDuplication, {appName})
    return this.meta(from, metaCalls.modifyDuplication, {appName, dupid: entries[0]!.dupid, ...change})
  }

  async status(appName: string, from = this.sandbox.source): Promise<DuplicationStatus | undefined> {
    const {entries} = await this.meta(from, metaCalls.queryDuplication, {appName})
    return entries[0]?.status
  }

  /** Waits for what `holds` says. @returns the milliseconds that it took */
  async until(holds: () => Promise<boolean> | boolean, limitMs: number, what: string, stepMs = 50): Promise<number> {
    const startMs = this.clock.nowMs()
    while (!(await holds())) {
      if (this.clock.nowMs() - startMs > limitMs) throw new Error(`${what}: not within ${limitMs} ms`)
      await sleep(this.clock, stepMs)
    }

    return this.clock.nowMs() - startMs
  }

  /** Adds a duplication and waits until all primaries ship. */
  async duplicate(appName: string, from = this.sandbox.source, to = this.sandbox.target): Promise<void> {
    await this.add(appName, true, from, to)
    await this.until(() => this.allShip(appName, from), 200_000, `${appName} in DS_LOG`, 500)
  }

  allShip(appName: string, from = this.sandbox.source): boolean {
    return this.duplicators(appName, from).every((d) => d?.duplicating === true)
  }

  /** The duplicator of each partition's primary. */
  duplicators(appName: string, from = this.sandbox.source) {
    const table = from.table(appName)
    return table.memberships.map(({primary}, partitionIndex) => {
      const replica = primary && from.serverAt(primary)?.replica({appId: table.info.appId, partitionIndex})
      return replica ? [...replica.duplicators.values()][0] : undefined
    })
  }

  /** Highest decree of each partition, prepared or committed. */
  fences(appName: string, from = this.sandbox.source): number[] {
    return from.table(appName).partitions.map((p) => Math.max(p.prepared, p.committed))
  }

  /** Whether everything up to the fences is acknowledged by the target. */
  shipped(appName: string, fences: number[], from = this.sandbox.source): boolean {
    return this.duplicators(appName, from).every((d, index) => d !== undefined && d.last >= fences[index]!)
  }

  /* Rows */

  partitionOf(cluster: SimulatedCluster, appName: string, hashKey: string): number {
    const count = cluster.table(appName).partitions.length
    return Number(keyHash(encodeKey(Buffer.from(hashKey), Buffer.alloc(0))) % BigInt(count))
  }

  /** A hash key of this partition. */
  keyIn(cluster: SimulatedCluster, appName: string, partitionIndex: number, prefix = 'key'): string {
    for (let i = 0; ; i++)
      if (this.partitionOf(cluster, appName, `${prefix}${i}`) === partitionIndex) return `${prefix}${i}`
  }

  private async toRow<Q, S>(
    cluster: SimulatedCluster,
    appName: string,
    hashKey: string,
    call: Call<Q, S>,
    request: Q,
    to?: string,
  ) {
    const partitionIndex = this.partitionOf(cluster, appName, hashKey)
    const address = to ?? cluster.primaryOf(appName, partitionIndex)
    if (!address) throw new Error(`no primary of ${appName}.${partitionIndex}`)
    const pid = {appId: cluster.table(appName).info.appId, partitionIndex}
    return this.peers.call(address, call, request, {pid, timeoutMs: TIMEOUT_MS})
  }

  put(cluster: SimulatedCluster, appName: string, hashKey: string, value: string, to?: string) {
    const key = encodeKey(Buffer.from(hashKey), Buffer.alloc(0))
    const request = {expireTsSeconds: 0, key, value: Buffer.from(value)}
    return this.toRow(cluster, appName, hashKey, dataCalls.put, request, to)
  }

  remove(cluster: SimulatedCluster, appName: string, hashKey: string) {
    return this.toRow(cluster, appName, hashKey, dataCalls.remove, encodeKey(Buffer.from(hashKey), Buffer.alloc(0)))
  }

  get(cluster: SimulatedCluster, appName: string, hashKey: string, to?: string) {
    const key = encodeKey(Buffer.from(hashKey), Buffer.alloc(0))
    return this.toRow(cluster, appName, hashKey, dataCalls.get, key, to)
  }

  /** The value of a row as a cluster's primaries hold it. */
  valueOf(cluster: SimulatedCluster, appName: string, hashKey: string): string | undefined {
    const key = encodeKey(Buffer.from(hashKey), Buffer.alloc(0)).toString('hex')
    return cluster.rows(appName).get(key)?.value.toString()
  }

  /** The CHECK_AND_SET probe of protocol.md §6.3. */
  checkAndSet(cluster: SimulatedCluster, appName: string, hashKey: string, to?: string) {
    const request = {
      checkOperand: Buffer.alloc(0),
      checkSortKey: Buffer.from('nope'),
      checkType: CasCheckType.CT_VALUE_EXIST,
      hashKey: Buffer.from(hashKey),
      returnCheckValue: false,
      setDiffSortKey: false,
      setExpireTsSeconds: 0,
      setSortKey: Buffer.alloc(0),
      setValue: Buffer.alloc(0),
    }
    return this.toRow(cluster, appName, hashKey, dataCalls.checkAndSet, request, to)
  }

  /** `OK`, `OK/<rocksdb status>`, or the name of the RPC-level error, of any call. */
  async outcome(call: Promise<{error?: number}>): Promise<string> {
    try {
      const {error} = await call
      return error ? `OK/${error}` : 'OK'
    } catch (error) {
      return (error as Error).message
    }
  }

  /* Servers */

  command(address: string, cmd: string, ...args: string[]): Promise<string> {
    return this.peers.call(address, serverCalls.remoteCommand, {args, cmd}, {timeoutMs: TIMEOUT_MS})
  }

  /** GET of a path. @returns status and body; status 0: the connection was closed without an answer */
  async http(address: string, path: string): Promise<{body: string; status: number}> {
    const stream = await this.sandbox.transport.connect(address, new AbortController().signal)
    let text = ''
    const done = new Promise<void>((resolve) => {
      stream.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8')
        const [head, body] = text.split('\r\n\r\n', 2)
        const length = Number(/Content-Length: (\d+)/.exec(head!)?.[1] ?? Number.NaN)
        if (body !== undefined && Buffer.byteLength(body) >= length) resolve()
      })
      stream.on('close', () => resolve())
      stream.on('error', () => resolve())
    })
    stream.write(`GET ${path} HTTP/1.1\r\nHost: ${address}\r\n\r\n`)
    await done
    stream.destroy()
    const [head = '', body = ''] = text.split('\r\n\r\n', 2)
    return {body, status: Number(head.split(' ')[1] ?? 0)}
  }

  updateConfig(address: string, name: string, value: string): Promise<{body: string; status: number}> {
    return this.http(address, `/updateConfig?${name}=${value}`)
  }

  close(): void {
    this.peers.close()
  }
}
