import type {MetaproxyStore} from '../../metaproxy/store.js'
import type {PegasusClient} from '../../pegasus/client.js'
import {freshState, type MigrationContext} from '../context.js'
import {JournaledEffects} from '../effects-journaled.js'
import {LiveEffects} from '../effects-live.js'
import type {Effects} from '../effects.js'
import type {UnstampedEvent} from '../events.js'
import {hintsOf, type Journal} from '../journal.js'
import type {MigrationLock} from '../lock.js'
import type {GuardPlan} from './plan.js'

export interface GuardParts {
  client: PegasusClient
  emit(event: UnstampedEvent): void
  journal: Journal
  lock: MigrationLock
  signal: AbortSignal
  store: MetaproxyStore | undefined
  wrapEffects?(live: Effects): Effects
}

/** A context in which only the undo runs. */
export function guardContext(plan: GuardPlan, parts: GuardParts): MigrationContext {
  const {client, emit, journal, lock, signal, store, wrapEffects = (effects: Effects) => effects} = parts
  const {clock, random} = client.env
  const {request} = plan
  const source = client.cluster(request.sourceMetas)
  const target = client.cluster(request.targetMetas)
  const live = new LiveEffects({clock, source, store, table: request.table, target})
  return {
    askMoved: async () => 'abort',
    client,
    clock,
    dryRun: false,
    effects: new JournaledEffects(wrapEffects(live), journal, request.table, emit, lock),
    emit,
    forward: signal,
    hints: hintsOf(journal.past),
    journal,
    random,
    request,
    signal,
    source,
    state: {...freshState(), dupid: plan.dupid, timers: plan.timers},
    store,
    target,
  }
}
