import type {WindowPart} from '../src/lib/migration/result.js'

/** One cutover of the bench. */
export interface CutoverSpec {
  denyMode: 'reconfig' | 'timeout'
  fast: 'auto' | 'off'
  name: string
  partitions: number
  profile: '2.4' | '2.5' | 'master'
  rows: number
  seed: number
  tool: 'old' | 'ours'
  writesPerSecond: number
  /** One that is shared. */
  zookeeper: string
}

/** Requests that the tool put on one kind of server in one phase. */
export interface RequestFigures {
  /** The most that any one server got in any second. */
  peakPerSecond: number
  /** Per server and second. */
  perSecond: number
  phase: string
  to: 'metas' | 'servers'
}

/** What came of it; ms. */
export interface CutoverFigures {
  /** As the load client saw it, with the habits of Go: it asks where to write once a second. */
  clientsMs: number
  /** As a client saw it that asks as soon as it is refused. */
  eagerMs: number
  /**
   * What the servers needed: spread of the deny, shipping of the last write; in `timeout` mode the 3 s in which silence comes to count,
   * if shipping did not take longer, and until the source was closed.
   */
  floorMs: number
  lostWrites: number
  outcome: string
  /** As the tool measured them. */
  parts?: WindowPart[]
  requests: RequestFigures[]
  spec: CutoverSpec
  toolClients?: {maxMs: number; minMs: number}
  totalMs: number
  /** As the tool says; undefined: it says nothing. */
  windowMs?: number
}

/** What is compared, one table each. */
const variants: Pick<CutoverSpec, 'denyMode' | 'fast' | 'name' | 'profile' | 'tool'>[] = [
  {denyMode: 'timeout', fast: 'off', name: 'the old tool, 2.5', profile: '2.5', tool: 'old'},
  {denyMode: 'timeout', fast: 'off', name: '2.5, --no-fast-cutover, timeout', profile: '2.5', tool: 'ours'},
  {denyMode: 'reconfig', fast: 'off', name: '2.5, --no-fast-cutover, reconfig', profile: '2.5', tool: 'ours'},
  {denyMode: 'timeout', fast: 'auto', name: '2.5, timeout', profile: '2.5', tool: 'ours'},
  {denyMode: 'reconfig', fast: 'auto', name: '2.5, reconfig', profile: '2.5', tool: 'ours'},
  {denyMode: 'timeout', fast: 'auto', name: 'master, timeout', profile: 'master', tool: 'ours'},
  {denyMode: 'reconfig', fast: 'auto', name: 'master, reconfig', profile: 'master', tool: 'ours'},
]

export const variantNames: readonly string[] = variants.map(({name}) => name)

/** Every variant of these names once, with servers whose timers lie otherwise than in the other runs. */
export function specsOf(run: number, names: readonly string[], zookeeper: string): CutoverSpec[] {
  const specs = variants.map((variant, index) => ({
    ...variant,
    partitions: 8,
    rows: 2000,
    seed: 1 + run * variants.length + index,
    writesPerSecond: 100,
    zookeeper,
  }))
  return specs.filter(({name}) => names.includes(name))
}
