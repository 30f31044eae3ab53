import type {CutoverWindow} from './cutover-window.js'

/** How the source refuses writes: silence until the client's own timeout, or an error at once (protocol.md §6.2). */
export type DenyMode = 'reconfig' | 'timeout'

/** How much of the table is compared before writes are denied. */
export type VerifyMode = 'count' | 'full' | 'none' | 'sample'

/** Where metaproxy's table nodes live. */
export interface MetaproxyLocation {
  /** `digest:user:password`, or undefined for no authentication; never printed, journalled or put in JSON. */
  auth?: string
  /** ZooKeeper `host:port,host:port`. */
  hosts: string
  /** ZooKeeper root of metaproxy, e.g. `/pegasus-metaproxy`. */
  root: string
}

/** Time limits per phase, in milliseconds; undefined: derived from the servers' own timers. */
export interface PhaseLimits {
  catchUpMs: number
  denyMs?: number
  drainMs?: number
  duplicateMs: number
  finishMs: number
  /** How long a run may be held before its cutover; default 72 h. */
  holdMs?: number
  preflightMs: number
  /** How long nothing may move in Duplicate and Catch up before the phase is given up. */
  stallMs: number
  switchMs: number
  verifyMs: number
}

export const defaultLimits: PhaseLimits & {holdMs: number} = {
  catchUpMs: 24 * 3600_000,
  duplicateMs: 24 * 3600_000,
  finishMs: 180_000,
  // Three days: whoever has not come by then has forgotten it.
  holdMs: 72 * 3600_000,
  preflightMs: 60_000,
  stallMs: 180_000,
  switchMs: 60_000,
  verifyMs: 3600_000,
}

/** What was asked for: everything that the flags of `table:migrate` say, checked and in the units of the library. */
export interface MigrationRequest {
  /** Preflight checks (by id) whose finding the operator has accepted by typing its name. */
  accepted: string[]
  /** Without a metaproxy node: what happens at the end of the drain (product.md, Switch). */
  afterDrain: 'ask' | 'keep' | 'lift'
  /** Metaproxies that must name the target before the switch counts as confirmed, `host:port`. */
  proxies: string[]
  /** How often the cutover is tried before the run gives up, writes allowed; default 3. */
  cutoverAttempts?: number
  /** Hours of the day in which a cutover may take place, taking it back included; undefined: any. */
  cutoverWindow?: CutoverWindow
  denyMode: DenyMode
  /** Whether the source servers' config sync is shortened for the cutover; default `auto`: where it can be had. */
  fastCutover?: 'auto' | 'off' | 'on'
  /** How operators' executables are run. */
  hooks?: {
    /** Also within the write-deny window. */
    inWindow: boolean
    /** Longest time of one, ms. */
    limitMs: number
  }
  /** Stays caught up before the deny until a person lets it go on; `file`: or until that file is gone. */
  hold?: {file?: string}
  limits: PhaseLimits
  /** Bound of the write-deny window, taking the deny back included. */
  maxWriteDenyMs: number
  /** Undefined: no switch, the operator moves the applications. */
  metaproxy?: MetaproxyLocation
  sourceMetas: string[]
  table: string
  targetCluster: string
  targetMetas: string[]
  /** Pending mutations of the whole table at which Catch up ends. */
  thresholdMutations: number
  verify: VerifyMode
  /** Most rows that Verify reads in a second, on each side; undefined: as many as the servers answer. */
  verifyRowsPerSecond?: number
  /** Rows per side that Verify compares in `sample` mode. */
  verifySampleRows: number
}
