import assert from 'node:assert/strict'

import type {Clock} from '../../src/lib/clock.js'
import {parseNodeData} from '../../src/lib/metaproxy/node-data.js'
import type {SimulatedReplicaServer} from '../sandbox/index.js'
import type {Simulation} from './simulation.js'
import {NODE} from './simulation.js'
import type {NodeWrite} from './zookeeper-model.js'

/** Client writes that a side took: from its first to its last without the other side in between. */
export interface Reign {
  firstAtMs: number
  lastAtMs: number
  side: 'source' | 'target'
}

const CLIENT_WRITES = /\*(put|remove)_qps@/

/** Looks all along at what must be true at every moment: who takes clients' writes (I3), and what the node holds (I4, I6). */
export class Watch {
  /** How often the operator moved the applications by hand. */
  moves = 0
  /** What was wrong, at the moment it was. */
  readonly broken: string[] = []
  readonly nodeWrites: NodeWrite[] = []
  readonly reigns: Reign[] = []
  /** How often the node came to name the other side. */
  switches = 0

  constructor(private readonly clock: Clock) {}

  over({source, target, zookeeper}: Simulation): void {
    const names = new Set([source.name, target.name])
    zookeeper.onWrite = (write) => {
      if (write.path !== NODE) return
      const before = this.nodeWrites.at(-1)?.bytes
      this.nodeWrites.push(write)
      // The same bytes once more take a commit away and commit nothing.
      const changes = before === undefined ? write.bytes.includes(target.name) : !before.equals(write.bytes)
      try {
        const {clusterName} = parseNodeData(write.bytes)
        if (!names.has(clusterName)) this.broken.push(`I4: the node names ${clusterName}`)
      } catch (error) {
        // What somebody writes by hand is his own affair.
        if (write.writer !== undefined) this.broken.push(`I4: ${String(error)}`)
      }

      if (changes) this.switches++
      if (changes && write.writer !== undefined && write.checked.length === 0)
        this.broken.push('I6: the node was written without a look at the lock')
    }

    for (const [side, cluster] of [
      ['source', source],
      ['target', target],
    ] as const) {
      for (const server of cluster.servers) {
        let counters = this.listening(server.counters, side)
        // A server that starts again has new ones.
        Object.defineProperty(server, 'counters', {
          get: () => counters,
          set: (fresh: typeof counters) => {
            counters = this.listening(fresh, side)
          },
        })
      }
    }
  }

  /** @throws AssertionError naming the invariant */
  assertUnbroken(): void {
    assert.deepEqual(this.broken, [])
    const sides = this.reigns.map(({side}) => side).join(', then ')
    assert.ok(this.reigns.length - 1 <= Math.max(this.switches, this.moves), `I3: writes were taken by ${sides}`)
  }

  private listening(counters: SimulatedReplicaServer['counters'], side: Reign['side']) {
    const add = counters.add.bind(counters)
    counters.add = (name) => {
      if (CLIENT_WRITES.test(name)) this.took(side)
      add(name)
    }

    return counters
  }

  private took(side: Reign['side']): void {
    const nowMs = this.clock.nowMs()
    const last = this.reigns.at(-1)
    if (last?.side === side) last.lastAtMs = nowMs
    else this.reigns.push({firstAtMs: nowMs, lastAtMs: nowMs, side})
  }
}
