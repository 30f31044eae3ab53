import {recallLine} from '../target-health.js'
import type {RollbackContext} from './context.js'
import {readTarget} from './read.js'
import type {RollbackView} from './view.js'

/** A look that decides whether writes are denied for nothing may take a little longer than the first one. */
const LOOK_MS = 10_000

/** Why what is left to ship cannot arrive, and what the operator can do about it. */
export interface Hindrance {
  next: string
  why: string
}

/**
 * Looks whether the copy can take what is left to ship. Where it cannot a pipeline never comes to rest, so that nobody may wait for
 * it, least of all while writes are denied: a duplication never says that it fails (product.md, lesson 11).
 * @returns undefined where nothing is seen in its way
 */
export async function whatHinders({client, rollback, signal, view}: RollbackContext): Promise<Hindrance | undefined> {
  const {target} = view
  if (!target || target.metas.length === 0) return undefined
  const limits = {patienceMs: LOOK_MS, signal, timeoutMs: LOOK_MS}
  const {dropped, table, trouble} = await readTarget(client, target.metas, rollback.table, limits)
  const {cluster} = target
  const given = `Writes to ${rollback.table} are allowed.`
  const giveUp = 'Or run the same command with --copy-is-gone: what is left to ship is given up with the copy'
  if (trouble !== undefined) {
    return {
      next: `${given} When ${cluster} answers again, run the same command. ${giveUp}.`,
      why: `${cluster} cannot be reached (${trouble}), so that what is left cannot arrive`,
    }
  }

  if (!table) {
    const recall = dropped ? `${recallLine(cluster, rollback.table, dropped)}, and run the same command. ` : ''
    return {
      next: `${given} ${recall}${recall === '' ? giveUp.replace('Or run', 'Run') : giveUp}.`,
      why: `${cluster} has no table ${rollback.table} any more, so that what is left can never arrive`,
    }
  }

  if (table.deny === undefined) return undefined
  return {
    next: `${given} In the Pegasus shell on ${cluster}: use ${rollback.table}; del_app_envs replica.deny_client_request. Then run the same command.`,
    why: `${cluster}'s copy carries replica.deny_client_request=${table.deny} and refuses what is shipped`,
  }
}

/** Whether the copy is known to be gone: the metas of the target answer, and have no such table. */
export function isCopyGone({entry, target}: Pick<RollbackView, 'entry' | 'target'>): boolean {
  return (
    target !== undefined &&
    target.metas.length > 0 &&
    target.trouble === undefined &&
    target.table === undefined &&
    entry?.remote === target.cluster
  )
}
