import type {Journal} from '../journal.js'
import type {MendingContext} from '../mend.js'
import type {SettingsContext} from '../settings.js'
import type {Progress} from '../events.js'
import type {MetaproxyStore} from '../../metaproxy/store.js'
import type {Cluster} from '../../pegasus/cluster.js'
import type {RollbackPlan} from './plan.js'
import type {RollbackRequest} from './request.js'
import type {RollbackView} from './view.js'

/** What the steps have found out and hand on. */
export interface RollbackState {
  /** When a return denied writes on the target; monotonic ms. */
  deniedAtMs?: number
  /** Set while this rollback itself denies writes on the source; whoever leaves takes it back first. */
  deniesSource: boolean
  /** Why the duplication is still there. */
  keptBecause?: string
  /** What must be done before it can be removed, where it is not just a matter of time. */
  keptNext?: string
  settingsPutBack: string[]
  /** When every server was first seen to have forgotten the duplication; monotonic ms. */
  forgottenAtMs?: number
  /** The commit point of a return is behind us: the source serves, or is about to. */
  returned: boolean
  /** This rollback denied writes on the target and has not opened it again. */
  targetDenied: boolean
  writableAfterMs?: number
}

/** Everything that a step works with. */
export interface RollbackContext extends MendingContext, SettingsContext {
  journal: Journal | undefined
  plan: RollbackPlan
  random: () => number
  report(progress: Progress): void
  rollback: RollbackRequest
  /** Before writes are denied anew: the guard of an earlier cutover would take that back. @throws MigratorError `guard.busy` */
  sendGuardAway(): Promise<void>
  signal: AbortSignal
  startMs: number
  state: RollbackState
  store: MetaproxyStore | undefined
  target: Cluster | undefined
  view: RollbackView
}

/** A step: carries it out, and sums up in a few words. */
export type RunStep = (context: RollbackContext) => Promise<string>

/** Thrown by a step that leaves itself out. */
export class StepSkipped extends Error {}

/** The target, which the plan's steps know. */
export function targetOf({target}: RollbackContext): Cluster {
  if (!target) throw new TypeError('a step needs a target that the plan does not know')
  return target
}
