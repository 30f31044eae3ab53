import {sleep} from '../../clock.js'
import {plural} from '../../plural.js'
import type {Effect} from '../effects.js'
import {duplicationNameIn} from '../preflight/settings.js'
import {BATCH_BYTES, putSettingsBack} from '../settings.js'
import {type RollbackContext, type RunStep, StepSkipped} from './context.js'
import {readDump, readTarget} from './read.js'

/** Dropping a table 1 s after its duplication was removed crashed servers; after 40 s never (measured.md §14). */
const BEFORE_DROP_MS = 40_000
/** What the source's meta had sent for when the duplication was removed is there by then. */
const LATE_COPY_MS = 3000
const LATE_COPY_POLL_MS = 500
/** As the servers' own default: hold_seconds_for_dropped_app (protocol.md §3.5). */
const RESERVE_SECONDS = 7 * 86_400

/** What a duplication that is kept needs, so that overwrites keep their order. */
export function isNeededToShip(effect: Effect): boolean {
  return effect.kind === 'set-server-config' && effect.name === BATCH_BYTES
}

/** Puts back what was changed; what a duplication that is kept needs to ship in order stays as it is. */
export const putBack: RunStep = async (context) => {
  const {hints, state, view} = context
  const isNeeded = (effect: Effect) => state.keptBecause !== undefined && isNeededToShip(effect)
  const needed = hints.settings.filter((effect) => isNeeded(effect))
  await putSettingsBack(context, context.signal, (effect) => !isNeeded(effect))
  const done = `${plural(state.settingsPutBack.length, 'setting is as it was', 'settings are as they were')}`
  if (needed.length === 0) return done
  return `${done}; ${BATCH_BYTES} stays 0 on ${plural(needed.length, 'server')} as long as duplication ${view.entry!.dupid} ships: a larger one reorders overwrites`
}

/** A table that still carries them would be built from the wrong cluster when it is duplicated once more (protocol.md §3.12). */
export const cleanTarget: RunStep = async (context) => {
  const {effects, signal, state, view} = context
  if (state.keptBecause !== undefined) throw new StepSkipped('the duplication is kept, and the target follows it')
  const before = view.target!.table?.followerEnvs ?? (await envsByNow(context))
  await effects.perform({before, keys: Object.keys(before).sort(), kind: 'delete-target-envs'}, signal)
  return `${view.target!.cluster}'s copy is a table of its own now, and no longer kept up to date`
}

/** Of a copy that was not there yet when the duplication was removed. */
async function envsByNow(context: RollbackContext): Promise<Record<string, string>> {
  const {clock, report, signal, source, view} = context
  const {cluster} = view.target!
  const untilMs = clock.nowMs() + LATE_COPY_MS
  let seen = await lookAtTarget(context)
  while (!seen.table && seen.trouble === undefined && clock.nowMs() < untilMs) {
    report({etaMs: untilMs - clock.nowMs(), text: 'looking whether a copy comes yet'})
    await sleep(clock, LATE_COPY_POLL_MS, signal)
    seen = await lookAtTarget(context)
  }

  const {table, trouble} = seen
  if (trouble !== undefined) throw new StepSkipped(`whether ${cluster} has a copy by now cannot be read: ${trouble}`)
  const envs = table?.followerEnvs ?? {}
  const master = envs['duplication.master_cluster']
  if (master === undefined) throw new StepSkipped(`${cluster} has no copy of it`)
  if (master !== view.source.cluster) {
    const dump = await readDump(source, signal)
    if (!dump || duplicationNameIn(dump) !== master)
      throw new StepSkipped(`${cluster} has a table of that name by now, which follows ${master}: it stays as it is`)
  }

  return envs
}

function lookAtTarget({client, rollback, signal, view}: RollbackContext) {
  return readTarget(client, view.target!.metas, rollback.table, {signal})
}

/** Late enough that no server can meet what it has not forgotten yet. */
export const dropTarget: RunStep = async (context) => {
  const {effects, signal, state, view} = context
  if (state.keptBecause !== undefined)
    throw new StepSkipped('the duplication is kept: dropping its target would crash servers')
  await waitBeforeDrop(context)
  const {appId} = view.target!.table!
  await effects.perform({appId, kind: 'drop-target-table', reserveSeconds: RESERVE_SECONDS}, signal)
  return `${view.target!.cluster}'s copy (table id ${appId}) is dropped; ${recallHint(context)}`
}

async function waitBeforeDrop({clock, report, signal, startMs, state}: RollbackContext): Promise<void> {
  // Without a duplication here nobody knows when it was forgotten: the wait begins when none was found.
  const sinceMs = state.forgottenAtMs ?? startMs
  for (;;) {
    const leftMs = sinceMs + BEFORE_DROP_MS - clock.nowMs()
    if (leftMs <= 0) return
    report({etaMs: leftMs, text: 'waiting until no server can remember the duplication'})
    await sleep(clock, Math.min(1000, leftMs), signal)
  }
}

/** How the dropped copy comes back. */
export function recallHint({rollback, view}: Pick<RollbackContext, 'rollback' | 'view'>): string {
  return `for seven days it can be recalled in the Pegasus shell on ${view.target!.cluster}: recall ${view.target!.table!.appId} ${rollback.table}`
}
