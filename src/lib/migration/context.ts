import type {Clock} from '../clock.js'
import type {MetaproxyStore} from '../metaproxy/store.js'
import type {PegasusClient} from '../pegasus/client.js'
import type {Cluster} from '../pegasus/cluster.js'
import type {EnvDifference} from './env-diff.js'
import type {Effect, Effects} from './effects.js'
import type {PhaseId, Progress, UnstampedEvent} from './events.js'
import type {FastCutover} from './fast-cutover.js'
import type {GuardHandle} from './guard/handle.js'
import type {CutoverWindow} from './cutover-window.js'
import type {HoldDesk} from './hold-desk.js'
import type {Journal, JournalHints} from './journal.js'
import type {OperatorHooks} from './operator-hooks/moments.js'
import type {PreflightFacts} from './preflight/check.js'
import type {FailedBefore, RemainingClients} from './remaining-clients.js'
import type {MigrationRequest} from './request.js'
import type {LastLook, WriteDenyWindow} from './result.js'
import type {Moment, TickPhase} from './tick-phases.js'
import type {ServerTimers} from './timers.js'
import type {RecentKeys} from './verify/recent-keys.js'

/** Primary of a partition and the ballot at which it is that. */
export interface PrimaryAt {
  ballot: number
  partitionIndex: number
  server: string
}

/** A primary that refuses, and since when it is known to (`Clock.nowMs`). */
export interface DeniedAt extends PrimaryAt {
  sinceMs: number
}

/** What the phases have found out and must hand on. All of it can be read again from the clusters. */
export interface MigrationState {
  /** Set by Preflight. */
  facts?: PreflightFacts
  /** The duplication that carries the table; 0 in a dry run before there is one. */
  dupid: number
  /** Whether somebody else began the duplication: then only a full verify will do (product.md, lesson 13). */
  adoptedForeign: boolean
  /** Why rows must be compared in full, whatever was asked for; undefined: they need not. */
  fullVerifyBecause?: string
  /** Mutations that servers counted as lost when they were last asked, by partition. */
  losses?: ReadonlyMap<number, number>
  /** Settings of the table that were not the same on both sides right before the deny. */
  envDifferences?: EnvDifference[]
  /** Partitions whose rows must be compared in full before the next cutover: their primary moved, or the last look could not explain them. */
  compareAgain?: number[]
  /** Partitions that were, for such a reason. */
  comparedAgain?: ReadonlySet<number>
  /** What the source's servers had counted as failed when it was proved to be closed. */
  failedBefore?: Promise<FailedBefore>
  /** Who still asked the source after that, as far as counters tell. */
  remainingClients?: RemainingClients
  /** Somebody has let the run go on from its hold: later attempts of the cutover need no second word. */
  released?: boolean
  /** What was compared within the write-deny window. */
  lastLook?: LastLook
  /** Rows with an expiry were met: counts of both sides may differ, each leaves expired rows out by its own clock. */
  rowsExpire?: boolean
  /** Rows that the target did not have yet when they were compared. */
  recentKeys?: RecentKeys
  /** Ballots when our duplication was added; a change before DS_LOG may leave a hole (protocol.md §3.12). */
  ballotsAtAdd?: Record<string, number>
  /** The server that ships each partition, as last read while nothing was denied. */
  shippers?: ReadonlyMap<number, string>
  /** When one of them was last seen to move, `Clock.nowMs`. */
  movedAtMs?: number
  /** What the source's meta knows to be on the target, as last read: confirmed decrees, summed over the partitions. */
  confirmedMutations?: number
  /** Where the deny was proved, and with which ballots. */
  denied: Map<number, DeniedAt>
  /** Where the drain was proved, and with which ballots. */
  drained: Map<number, PrimaryAt>
  /** Whether the duplication was paused by us and must be resumed by an undo. */
  paused: boolean
  /**
   * The switch: `none` until its compare-and-set is sent, `uncertain` while nobody knows whether it took place,
   * `done` from the commit point on. Only `none` allows an undo without looking.
   */
  commit: 'done' | 'none' | 'uncertain'
  /** The deny was sent; from then on every way out takes it back and proves it. */
  denySet: boolean
  /** When the drain last saw that writes were denied, `Clock.nowMs`. */
  denySeenAtMs?: number
  /** Nobody heard whether the deny was set, or not of each time that it was sent: it may still be, after it was taken back. */
  denyUnanswered?: boolean
  /** Until when such a deny may still come; monotonic, ms. */
  denyLateUntilMs?: number
  /** Between the first and the last server that began to refuse. */
  denySpreadMs?: number
  /** Without a node: the operator was told to move the applications and has not said that they are moved. */
  handedOver?: boolean
  /** What last kept the undo from its end, in the words of its alarm. */
  mendingTrouble?: string
  nodeBytes?: Buffer
  /** Our compare-and-set of the node was sent. */
  switchSent?: boolean
  /** When the node was last seen as it was before the deny; wall clock, ms. */
  nodeOursAtMs?: number
  nodeVersion?: number
  pendingMutations?: number
  /** When a cutover was last seen to fit, `Clock.nowMs`. */
  readyAtMs?: number
  /** When the duplication was added by this run, `Clock.nowMs`. */
  addedAtMs?: number
  /** When to deny writes, where the servers' phases are known. */
  moment?: Moment
  /** When each server with a primary was started, read right before the deny. */
  startTimes?: ReadonlyMap<string, string>
  /** Syncs of source servers that were seen, by address; of earlier runs too. */
  ticks?: Map<string, TickPhase>
  /** The source servers whose config sync interval was lowered. */
  fast?: FastCutover
  /** The short interval made the meta slow, and is not tried again in this run. */
  fastGivenUp?: boolean
  /** Set by Preflight; the guard is told them. */
  timers?: ServerTimers
  /** That this machine or process stood still during the cutover. */
  standstill?: string
  targetAppId?: number
  unconfirmedProxies?: string[]
  verification?: {partitions: number; rowsCompared: number; rowsCountedSource: number; rowsCountedTarget: number}
  /** Of cutovers that were taken back, oldest first. */
  earlierWindows: WriteDenyWindow[]
  window: WriteDenyWindow
  warnings: string[]
  settingsPutBack: string[]
  /** Settings that are still as the migration set them, after all was done. */
  settingsLeft?: Effect[]
}

/** Everything that a phase works with. */
export interface MigrationContext {
  /** Immediately before the deny: starts the guard and the clock of the bound. Throws `guard.*` when there is no guard to be had. */
  arm?(): Promise<void>
  askMoved(signal: AbortSignal): Promise<'abort' | 'moved'>
  client: PegasusClient
  clock: Clock
  dryRun: boolean
  effects: Effects
  emit(event: UnstampedEvent): void
  /** What goes on after the commit point, whatever happened to `signal`: there is only forward then. */
  forward: AbortSignal
  /** Watches over the cutover while it lasts. */
  guard?: GuardHandle
  hints: JournalHints
  /** Where the run is held before the deny until a person lets it go on; undefined: it is not to be held. */
  holdDesk?: HoldDesk
  /** Tells other commands on this machine that it waits for its window; resolves to what ends that. */
  noteWindow?(wait: {needMs: number; sinceMs: number; window: CutoverWindow}): Promise<() => Promise<void>>
  journal: Journal | undefined
  /** Operators' executables; undefined: there are none. */
  operatorHooks?: OperatorHooks
  random: () => number
  request: MigrationRequest
  /** Aborts when the run is to stop; undo works on a signal of its own. */
  signal: AbortSignal
  source: Cluster
  state: MigrationState
  store: MetaproxyStore | undefined
  target: Cluster
}

/** One step of a phase: `act` changes something through `effects`, `wait` waits for what follows from it. */
export interface Step {
  act?(context: MigrationContext): Promise<void>
  title: string
  /** Left out in a dry run: nothing was changed, so nothing would follow. */
  wait?(context: MigrationContext, report: (progress: Progress) => void): Promise<void>
}

/** What `observe` says of a phase: whether its work is there already, read from the clusters. */
export type Observation = {done: false} | {done: true; summary: string}

/** One phase of a migration. */
export interface Phase {
  id: PhaseId
  /** Looks where the migration stands; changes nothing but `state`. */
  observe(context: MigrationContext): Promise<Observation>
  steps: Step[]
  /** The figure that matters, once it is done. */
  summarize(context: MigrationContext): string
  /** Why this phase is left out, or undefined. */
  skip?(context: MigrationContext): string | undefined
}

/** The facts of Preflight, which every later phase stands on. */
export function factsOf(context: MigrationContext): PreflightFacts {
  if (!context.state.facts) throw new TypeError('preflight has not run')
  return context.state.facts
}

export function freshState(): MigrationState {
  return {
    adoptedForeign: false,
    commit: 'none',
    denied: new Map(),
    drained: new Map(),
    denySet: false,
    dupid: 0,
    earlierWindows: [],
    paused: false,
    settingsPutBack: [],
    warnings: [],
    window: {},
  }
}
