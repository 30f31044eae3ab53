import {type ChildProcess, fork} from 'node:child_process'
import {once} from 'node:events'
import {fileURLToPath} from 'node:url'
import {systemClock} from '../src/lib/clock.js'
import {ClusterRows, type VerifyReport, verifyTable} from '../src/lib/migration/verify/index.js'
import {PegasusClient} from '../src/lib/pegasus/client.js'
import {tcpTransport} from '../src/lib/rpc/transport.js'
import type {CannedTable} from './canned-server.js'

const table = 'canned'

/** A table on two sides, served from canned bytes by another process. */
export class CannedBed {
  private constructor(
    private readonly child: ChildProcess,
    readonly addresses: readonly [string, string],
    readonly partitionCount: number,
  ) {}

  static async start(shape: CannedTable & {partitionCount: number}): Promise<CannedBed> {
    const program = fileURLToPath(new URL('canned-server.ts', import.meta.url))
    const child = fork(program, [JSON.stringify(shape)], {execArgv: ['--import', 'tsx']})
    const [addresses] = (await once(child, 'message')) as [[string, string]]
    return new CannedBed(child, addresses, shape.partitionCount)
  }

  /** Compares both sides by the same means as `table:migrate`. */
  async compare(parallel = 4): Promise<VerifyReport> {
    const client = new PegasusClient({clock: systemClock, random: Math.random, transport: tcpTransport})
    const {signal} = new AbortController()
    const rows = (name: 'source' | 'target', address: string) =>
      new ClusterRows({
        client,
        cluster: client.cluster([address]),
        configuration: {appId: 1, partitionCount: this.partitionCount, partitions: this.partitionsAt(address)},
        name,
        signal,
        table,
      })
    try {
      return await verifyTable({
        clock: systemClock,
        emit() {},
        mode: 'full',
        parallel,
        partitionCount: this.partitionCount,
        progress: async () => [],
        random: Math.random,
        rereadLimitMs: 30_000,
        sampleRows: 0,
        signal,
        source: rows('source', this.addresses[0]),
        target: rows('target', this.addresses[1]),
      })
    } finally {
      await client.close()
    }
  }

  async stop(): Promise<void> {
    const ended = once(this.child, 'exit')
    this.child.disconnect()
    await ended
  }

  private partitionsAt(primary: string) {
    return Array.from({length: this.partitionCount}, (_, partitionIndex) => ({
      ballot: 1,
      lastCommittedDecree: 0,
      lastDrops: [],
      maxReplicaCount: 1,
      partitionFlags: 0,
      pid: {appId: 1, partitionIndex},
      primary,
      secondaries: [],
    }))
  }
}
