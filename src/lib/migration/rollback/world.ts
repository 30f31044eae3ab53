import type {Clock} from '../../clock.js'
import {parseZooKeeperAuth} from '../../metaproxy/zookeeper-options.js'
import {ZooKeeperStore} from '../../metaproxy/zookeeper-store.js'
import type {MigrationWorld} from '../index.js'
import type {MetaproxyLocation} from '../request.js'
import type {RollbackEvent} from './events.js'
import type {RollbackPlan} from './plan.js'
import type {RollbackRequest} from './request.js'
import type {RollbackResult} from './result.js'

/** What a rollback needs of the world. */
export type RollbackWorld = Omit<MigrationWorld, 'startGuard'>

export interface RollbackHooks {
  /**
   * Asked once, before anything is changed; at once when writes are to be allowed again.
   * @param plan `typeName` is why the table's name must be typed, whatever --yes says: data may be lost
   */
  confirm(plan: {effects: string[]; found: string[]; result: RollbackResult; typeName?: string}): Promise<boolean>
  /** Hears every event, in order. Must not throw. */
  emit(event: RollbackEvent): void
}

/** Journals are kept per target; where none is known there is nothing but a deny to lift. */
export const noJournal = {
  async write() {
    // Nothing that a later run would need.
  },
}

export function openZooKeeper({auth, hosts, root}: MetaproxyLocation, clock: Clock): ZooKeeperStore {
  return new ZooKeeperStore({...(auth === undefined ? {} : {auth: parseZooKeeperAuth(auth)}), clock, hosts, root})
}

/** Why the table's name must be typed, whatever --yes says; undefined: it need not. */
export function whyTypeName(request: RollbackRequest, plan: RollbackPlan): string | undefined {
  if (plan.kind === 'return' && request.allowDataLoss) return 'what was written to the target since the switch is lost'
  return plan.steps.includes('drop-target') ? "the target's copy is dropped" : undefined
}
