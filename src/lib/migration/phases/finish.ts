import {MigratorError} from '../../errors.js'
import {plural} from '../../plural.js'
import {AppStatus} from '../../rpc/structs/table.js'
import {factsOf, type MigrationContext, type Phase} from '../context.js'
import {DENY_ENV} from '../effects-live.js'
import type {Progress} from '../events.js'
import {believeOldInterval} from '../fast-cutover.js'
import {waitUntilForgotten} from '../forget.js'
import {findSettings} from '../found-settings.js'
import {readRemainingClients} from '../remaining-clients.js'
import {shortList} from '../proof/shipping.js'
import {describeBack, hostingServers, putSettingsBack} from '../settings.js'
import {keepClosed, keepClosedForGood} from './keep-closed.js'

/** Takes away what the migration needed: only the source's `reconfig*all` stays (I5). */
export const finish: Phase = {
  id: 'finish',
  async observe() {
    return {done: false}
  },
  steps: [
    {act: removeDuplication, title: 'remove the duplication', wait: waitUntilServersForgot},
    // While servers still hear of envs soon, and once more at the end.
    {title: 'see that the source stays closed', wait: keepClosed},
    {act: cleanTarget, title: "clean the target's envs"},
    {act: restore, title: 'put every setting back'},
    {title: 'look who still asks the source', wait: lookForClients},
    {title: 'see that the source stays closed', wait: keepClosedForGood},
    {title: 'see that nothing is left', wait: requireNothingLeft},
  ],
  summarize({state}) {
    const back = state.settingsPutBack.length
    return `${plural(back, 'setting')} put back, duplication removed`
  },
}

async function removeDuplication(context: MigrationContext): Promise<void> {
  const {effects, state} = context
  // Gone already: an earlier run removed it.
  if (state.dupid === 0 && !context.dryRun) return
  await effects.perform({dupid: state.dupid, kind: 'remove-duplication'}, forwardOf(context))
}

async function waitUntilServersForgot(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {clock, forward, request, source, state} = context
  await waitUntilForgotten({
    appId: factsOf(context).source.configuration.appId,
    clock,
    cluster: source,
    dupid: state.dupid,
    limitMs: request.limits.finishMs,
    report,
    signal: forward,
    table: request.table,
  })
}

/** Left there, `duplication.*` would make a later duplication of this table copy from the wrong cluster (protocol.md §3.12). */
async function cleanTarget(context: MigrationContext): Promise<void> {
  const {effects, request, target} = context
  if (context.dryRun) {
    const keys = ['duplication.master_cluster', 'duplication.master_metas']
    await effects.perform({before: {}, keys, kind: 'delete-target-envs'}, context.signal)
    return
  }

  const table = await target.table(request.table, {patienceMs: 60_000, signal: context.forward})
  const before = Object.fromEntries(
    [...(table?.envs ?? [])].filter(([key]) => key.startsWith('duplication.') || key === DENY_ENV),
  )
  const keys = Object.keys(before).sort()
  if (keys.length > 0) await effects.perform({before, keys, kind: 'delete-target-envs'}, context.forward)
}

async function restore(context: MigrationContext): Promise<void> {
  if (context.dryRun) return
  const {forward, state} = context
  await findEarlier(context)
  state.settingsLeft = await putSettingsBack(context, forward)
  if (state.fast) believeOldInterval(state, state.fast)
}

/**
 * A run on another machine may have set something and died, and its journal alone knows what was there before: servers' own
 * configuration tells it too (protocol.md §13).
 */
async function findEarlier(context: MigrationContext): Promise<void> {
  const {emit, forward, hints, request, source, state} = context
  const tables = await source.tables({patienceMs: 60_000, signal: forward})
  const own = tables.find(({appName, status}) => appName === request.table && status === AppStatus.AS_AVAILABLE)
  const othersDuplicate = tables.some(({appId, duplicating}) => duplicating === true && appId !== own?.appId)
  const servers = await hostingServers(context, forward)
  const found = await findSettings(source, {known: hints.settings, othersDuplicate, servers}, {signal: forward})
  if (found.length === 0) return
  const message = `set on servers by no run that this machine knows of, and put back to what they are configured with: ${shortList(found.map((effect) => describeBack(effect)))}`
  state.warnings.push(message)
  emit({code: 'setting.found', message, type: 'warning'})
  hints.settings.push(...found)
}

/** Scripts must see it: the migration is done, and something of it is still set on a server (I5). */
async function requireNothingLeft({request, state}: MigrationContext): Promise<void> {
  const {settingsLeft = []} = state
  if (settingsLeft.length === 0) return
  const what = shortList(settingsLeft.map((effect) => describeBack(effect)))
  throw new MigratorError(
    'finish.settings_left',
    `${request.table} is moved, and not everything could be put back: ${what}`,
    {
      facts: {settings: settingsLeft.length},
    },
  )
}

/** It is told, and stops nothing. */
async function lookForClients(context: MigrationContext): Promise<void> {
  const {state} = context
  if (state.failedBefore) state.remainingClients = await readRemainingClients(context, await state.failedBefore)
}

function forwardOf(context: MigrationContext): AbortSignal {
  return context.dryRun ? context.signal : context.forward
}
