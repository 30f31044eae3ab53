import type {Clock} from '../clock.js'
import type {Files} from '../files.js'
import type {Processes} from '../processes.js'
import type {Transport} from '../rpc/transport.js'
import type {SharedLocks} from '../metaproxy/shared-lock.js'
import type {MetaproxyStore} from '../metaproxy/store.js'
import type {Effects} from './effects.js'
import type {MigrationEvent, UnstampedEvent} from './events.js'
import type {GuardHandle} from './guard/handle.js'
import type {GuardPlan} from './guard/plan.js'
import type {ReleaseKey} from './hold-desk.js'
import type {OperatorHooks} from './operator-hooks/moments.js'
import type {MetaproxyLocation, MigrationRequest} from './request.js'
import type {MigrationResult} from './result.js'

export type {MigrationEvent, PhaseId, Progress} from './events.js'
export {migrate} from './migrate.js'
export {startGuardProcess} from './guard/process.js'
export {phaseIds, phaseTitles} from './events.js'
export {expectedWindow, type MigrationPlan} from './plan.js'
export type {DenyMode, MetaproxyLocation, MigrationRequest, PhaseLimits, VerifyMode} from './request.js'
export {defaultLimits} from './request.js'
export type {MigrationResult, Outcome, PhaseTiming, WriteDenyWindow} from './result.js'

/** What a migration needs of the world; all of it injected. */
export interface MigrationWorld {
  /** As `Environment.calmMs`. */
  calmMs?: number
  clock: Clock
  /** The command line, for whoever meets the lock; without secrets. */
  command?: string
  /** Default: the machine's disk. */
  files?: Files
  /** Directory of the journals; made with mode 0700 when absent. */
  journalDirectory: string
  /** Opens the locks that other machines see; default: ZooKeeper itself. */
  openLocks?(location: MetaproxyLocation, clock: Clock): SharedLocks
  /** Opens metaproxy's store; default: ZooKeeper itself. */
  openStore?(location: MetaproxyLocation, clock: Clock): MetaproxyStore
  /** Operators' executables, run at certain moments (docs/hooks.md). */
  operatorHooks?: OperatorHooks
  /** Default: the machine's own. */
  processes?: Processes
  random: () => number
  /** IPv4 addresses of a host name; default: the machine's resolver. */
  resolve?(host: string): Promise<string[]>
  /** Starts a guard that watches over the cutover (docs/guard.md); undefined: none (`--no-guard`). */
  startGuard?(plan: GuardPlan, emit: (event: UnstampedEvent) => void): Promise<GuardHandle>
  transport: Transport
  /** Wraps what carries effects out; for simulations, which make them fail. */
  wrapEffects?(live: Effects): Effects
}

export interface MigrateHooks {
  /** Hears every event, in order. Must not throw. */
  emit(event: MigrationEvent): void
  /**
   * Asked once after preflight, before anything is changed.
   * @param plan what will be done, in sentences
   * @returns whether to go on
   */
  confirm(plan: {effects: string[]; result: MigrationResult}): Promise<boolean>
  /** Without a metaproxy node, asked after the drain while writes are denied; the signal aborts when the bound is near. */
  askMoved(signal: AbortSignal): Promise<'abort' | 'moved'>
  /** A key by which a person ends a hold; undefined: nobody sits there. */
  releaseKey?: ReleaseKey
}

export type Migrate = (
  request: MigrationRequest,
  world: MigrationWorld,
  hooks: MigrateHooks,
  options: {dryRun: boolean; signal: AbortSignal},
) => Promise<MigrationResult>
