import {seededRandom} from '../../sandbox/random.js'
import type {Profile} from '../../sandbox/index.js'
import {drawFault, oneOf, type Random} from './draw.js'
import {drawThemed} from './themes.js'

/** When a fault begins: so long after the start, or after the n-th time that something is told. */
export type At = {ms: number} | {afterMs: number; nth: number; sign: string}

/** One thing that goes wrong; plain data, so that a run can be told, repeated and shrunk. */
export interface Fault {
  at: At
  kind: string
  /** What passes by itself; ms. Absent: until the faults cease. */
  lastsMs?: number
  side?: 'source' | 'target'
  /** Chooses among whatever there is at that moment: server, partition, value. */
  pick: number
  /** Call, machine or command that it is about. */
  what?: string
  /** Of messages; 0 to 1. */
  share?: number
  count?: number
  ms?: number
}

/** The tables and clusters of a run. */
export interface WorldPlan {
  /** The operator's answer after the drain, without a node. */
  askMoved: 'abort' | 'moved'
  denyMode: 'reconfig' | 'timeout'
  guard: boolean
  keys: number
  /** Longest way of a message, ms; 0: none takes any time. */
  latencyMs: number
  lively: boolean
  partitions: number
  profile: Profile
  root: boolean
  rows: number
  servers: number
  /** Of the operator's machine. */
  skew?: {rate: number; wallMs: number}
  valueBytes: number
  verify: 'count' | 'full' | 'none' | 'sample'
  writesPerSecond: number
}

/** Everything that a seed decides. */
export interface Plan {
  faults: Fault[]
  /** The command that must make it good once the faults have ceased. */
  mend: 'migrate' | 'rollback'
  /** From another machine, which has no journal of it. */
  mendThere?: true
  seed: number
  world: WorldPlan
}

function chance(random: Random, share: number): boolean {
  return random() < share
}

/** Draws a run. The same seed gives the same plan. */
export function drawPlan(seed: number): Plan {
  const random = seededRandom(Math.imul(seed + 1, 0x9e_37_79_b1))
  for (let i = 0; i < 4; i++) random()
  const world = drawWorld(random)
  const mend = oneOf(random, ['migrate', 'migrate', 'rollback'] as const)
  const there = chance(random, 0.15)
  const {faults, world: final} = chance(random, 0.5)
    ? drawThemed(random, world)
    : {faults: drawFaults(random, world), world}
  // Without a node nobody else knows of it; what level the metas had before, only the journal knows.
  const mendThere = there && final.root && !final.lively ? ({mendThere: true} as const) : {}
  return {faults, mend, ...mendThere, seed, world: final}
}

function drawFaults(random: Random, world: WorldPlan): Fault[] {
  // Most runs have a few faults: many at once hide each other.
  const count = oneOf(random, [0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 6])
  return Array.from({length: count}, () => drawFault(random, world))
}

function drawWorld(random: Random): WorldPlan {
  const profile = oneOf<Profile>(random, ['2.5', '2.5', '2.5', 'master', 'master', '2.4'])
  return {
    askMoved: chance(random, 0.8) ? 'moved' : 'abort',
    denyMode: chance(random, 0.8) ? 'reconfig' : 'timeout',
    guard: chance(random, 0.9),
    keys: oneOf(random, [4, 8, 12]),
    latencyMs: oneOf(random, [0, 0, 1, 5, 20]),
    lively: chance(random, 0.1),
    partitions: oneOf(random, [1, 1, 1, 2, 2, 3]),
    profile,
    root: chance(random, 0.85),
    rows: oneOf(random, [0, 5, 15]),
    servers: oneOf(random, [2, 2, 2, 3]),
    ...(chance(random, 0.2)
      ? {skew: {rate: 1 + (random() - 0.5) * 0.002, wallMs: Math.round((random() - 0.5) * 600_000)}}
      : {}),
    valueBytes: oneOf(random, [12, 12, 12, 1500]),
    verify: oneOf(random, ['sample', 'sample', 'full', 'count', 'none']),
    writesPerSecond: oneOf(random, [1, 2, 4]),
  }
}
