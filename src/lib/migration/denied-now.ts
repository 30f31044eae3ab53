import {isMigratorError, messageOf} from '../errors.js'
import {shellQuote} from '../shell-quote.js'
import type {MigrationContext} from './context.js'
import {DENY_ENV} from './effects-live.js'
import type {UnstampedEvent} from './events.js'
import {namesTarget} from './names-target.js'

/** How long a run that is refused looks whether others have denied writes. */
const LOOK_MS = 3000

/** A run that is refused changed nothing; but nobody may believe that writes are allowed where they are denied at this moment (I2). */
export async function tellDeniedNow(context: MigrationContext, error: unknown): Promise<void> {
  const {emit, request} = context
  // Whoever holds the lock answers for the deny.
  const left = isMigratorError(error, 'lock.held') ? 'no' : await leftDenied(context)
  if (left !== 'no') {
    const {table} = request
    const found =
      left === 'yes'
        ? `${table} is still write-denied on the source by an earlier run`
        : `${table} was left write-denied on the source by an earlier run, and whether it still is cannot be read`
    const message = `${found}. To have writes allowed again: pegasus table:migrate-rollback -t ${shellQuote(table)}`
    emit({code: 'deny.left', message, type: 'warning'})
    return
  }

  await tellForeignDeny(request.table, emit, () => foreignDeny(context, error))
}

/** What a command that goes no further says of a deny that is not its own, or of not knowing whether there is one. */
export async function tellForeignDeny(
  table: string,
  emit: (event: Extract<UnstampedEvent, {type: 'warning'}>) => void,
  read: () => Promise<string | undefined>,
): Promise<void> {
  try {
    const deny = await read()
    if (deny === undefined) return
    const message = `${table} is write-denied on the source at this moment (${DENY_ENV}=${deny}), by another command or by hand. Who works on it: pegasus table:migrate-status -t ${shellQuote(table)}`
    emit({code: 'deny.there', message, type: 'warning'})
  } catch (error) {
    const message = `whether ${table} is write-denied on the source at this moment cannot be read: ${messageOf(error)}`
    emit({code: 'deny.unread', message, type: 'warning'})
  }
}

/** Whether an earlier run's deny is there, and the table was not handed over since. */
async function leftDenied(context: MigrationContext): Promise<'no' | 'unknown' | 'yes'> {
  const {forward: signal, hints, request, source, store} = context
  if (hints.deny === undefined || hints.closed || hints.word) return 'no'
  const [table, node] = await Promise.allSettled([
    source.table(request.table, {signal}),
    store?.read(request.table, signal),
  ])
  if (table.status === 'fulfilled' && table.value?.envs.get(DENY_ENV) !== hints.deny) return 'no'
  if (node.status === 'fulfilled' && node.value && namesTarget(node.value.data, request)) return 'no'
  return table.status === 'fulfilled' ? 'yes' : 'unknown'
}

/** The deny that others have set by now, where the error does not tell of it already. @throws why it cannot be read */
async function foreignDeny(context: MigrationContext, error: unknown): Promise<string | undefined> {
  const {forward: signal, request, source, state, store} = context
  const isTold = isMigratorError(error, 'preflight.refused') && String(error.facts.checks).includes('source-deny')
  // Where Preflight could read nothing, nor can this.
  if (isTold || !state.facts) return undefined
  const [table, node] = await Promise.allSettled([
    source.table(request.table, {patienceMs: LOOK_MS, signal, timeoutMs: LOOK_MS}),
    store?.read(request.table, signal),
  ])
  const isHandedOver = node.status === 'fulfilled' && node.value && namesTarget(node.value.data, request)
  if (isHandedOver) return undefined
  if (table.status === 'rejected') throw table.reason
  return table.value?.envs.get(DENY_ENV)
}
