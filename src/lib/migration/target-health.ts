import {messageOf, MigratorError} from '../errors.js'
import {metaErrorName} from '../pegasus/meta-client.js'
import {type AppInfo, AppStatus} from '../rpc/structs/table.js'
import {shellQuote} from '../shell-quote.js'
import type {MigrationContext} from './context.js'
import {DENY_ENV} from './effects-live.js'
import {shortList} from './proof/shipping.js'

/**
 * Why the target may not take what is shipped. A duplication never says that it fails (product.md, lesson 11), so the
 * target itself is looked at.
 * @returns a sentence
 */
export async function explainTarget(context: MigrationContext): Promise<string> {
  try {
    const trouble = await targetTrouble(context)
    return trouble ?? 'The target itself looks healthy.'
  } catch (error) {
    context.signal.throwIfAborted()
    return `The target could not be read: ${messageOf(error)}.`
  }
}

/** What is wrong with the target's copy, or undefined. */
export async function targetTrouble(context: MigrationContext): Promise<string | undefined> {
  const {request, signal, target} = context
  const table = await target.table(request.table, {signal})
  if (!table) return `The target has no table ${request.table}: somebody dropped it. ${await wayBack(context)}`
  const deny = table.envs.get(DENY_ENV)
  if (deny !== undefined) {
    return `The target's ${request.table} carries ${DENY_ENV}=${deny}: it refuses what is shipped. Delete that env there.`
  }

  try {
    const {partitions} = await target.configuration(request.table, {signal})
    const without = partitions.filter(({primary}) => primary === null).map(({pid}) => pid.partitionIndex)
    return without.length > 0 ? `Partitions ${shortList(without)} have no primary on the target.` : undefined
  } catch (error) {
    const name = metaErrorName(error)
    if (name === undefined) throw error
    return `The target's meta answers ${name} for ${request.table}.`
  }
}

/** How the copy comes back, or how to do without it. */
async function wayBack({clock, request, signal, target}: MigrationContext): Promise<string> {
  const dropped = droppedTable(await target.tables({signal}), request.table, clock.wallMs())
  const recall = dropped ? `${recallLine(request.targetCluster, request.table, dropped)}; or take` : 'Take'
  return `${recall} the migration back: pegasus table:migrate-rollback -t ${shellQuote(request.table)} --copy-is-gone.`
}

/** @throws MigratorError `target.unfit` unless the target can take shipped mutations and, later, clients */
export async function requireFitTarget(context: MigrationContext): Promise<void> {
  const trouble = await targetTrouble(context)
  if (trouble === undefined) return
  throw new MigratorError('target.unfit', trouble, {
    next: 'Mend that, then run the same command again; it goes on from here.',
  })
}

/** A table that was dropped and can still be recalled. */
export interface DroppedTable {
  appId: number
  /** Until when the servers keep its data; wall clock, ms. */
  untilMs: number
}

/** Of the dropped tables of this name the latest, as long as its data is kept (protocol.md §3.5). */
export function droppedTable(tables: readonly AppInfo[], name: string, nowMs: number): DroppedTable | undefined {
  const [last] = tables
    .filter(
      ({appName, expireSecond, status}) =>
        appName === name && status === AppStatus.AS_DROPPED && expireSecond * 1000 > nowMs,
    )
    .sort((a, b) => b.appId - a.appId)
  return last && {appId: last.appId, untilMs: last.expireSecond * 1000}
}

/** How a dropped copy comes back: then shipping goes on by itself. */
export function recallLine(cluster: string, table: string, {appId, untilMs}: DroppedTable): string {
  return `Recall it (it can be until ${new Date(untilMs).toISOString()}): in the Pegasus shell on ${cluster}: recall ${appId} ${table}`
}
