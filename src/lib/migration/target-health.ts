import {messageOf, MigratorError} from '../errors.js'
import {metaErrorName} from '../pegasus/meta-client.js'
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
  if (!table) return `The target has no table ${request.table}: somebody dropped it.`
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

/** @throws MigratorError `target.unfit` unless the target can take shipped mutations and, later, clients */
export async function requireFitTarget(context: MigrationContext): Promise<void> {
  const trouble = await targetTrouble(context)
  if (trouble === undefined) return
  throw new MigratorError('target.unfit', trouble, {
    next: 'Mend that, then run the same command again; it goes on from here.',
  })
}
