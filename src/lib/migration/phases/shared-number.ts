import {AppStatus} from '../../rpc/structs/table.js'
import type {MigrationContext} from '../context.js'
import {patiently} from '../wait.js'

/**
 * The C++ client takes the target's table number for all partitions as soon as one of them was refreshed, and asks the source's
 * servers with it until each partition failed (docs/cutover.md). Where another table of the source has that number,
 * those requests could be carried out there. Told before anything is denied, as nobody knows which clients there are.
 */
export async function warnOfSharedNumber(context: MigrationContext): Promise<void> {
  const {dryRun, request, signal, source, state, target} = context
  if (dryRun) return
  const [copy, tables] = await patiently(context, () =>
    Promise.all([target.table(request.table, {signal}), source.tables({signal})]),
  )
  state.targetAppId ??= copy?.appId
  const other = tables.find(
    ({appId, appName, status}) =>
      appId === state.targetAppId && appName !== request.table && status === AppStatus.AS_AVAILABLE,
  )
  if (!other) return
  const message = `${request.table} has number ${other.appId} on ${request.targetCluster}, and so has ${other.appName} on the source: C++ clients may write to ${other.appName} just after the switch; if there are any, stop them for the switch (docs/cutover.md, --hold)`
  context.emit({code: 'cutover.shared_number', message, type: 'warning'})
}
