import {isMigratorError} from '../../errors.js'
import {NO_TABLE} from './ask-metas.js'
import type {Check, CheckResult, Finding, PreflightFacts} from './check.js'
import {atomicWrites} from './checks/atomic-writes.js'
import {duplicationChecks} from './checks/duplication.js'
import {envChecks} from './checks/envs.js'
import {knownClusterChecks} from './checks/known-clusters.js'
import {metaproxyChecks} from './checks/metaproxy.js'
import {sourceClusterChecks} from './checks/source-cluster.js'
import {tableChecks} from './checks/table.js'
import {targetChecks} from './checks/target.js'
import {timerChecks} from './checks/timers.js'
import {skipped} from './wording.js'

/** Every check, in the order of the results; what explains others comes first. Documented in docs/preflight.md. */
export const checks: readonly Check[] = [
  ...sourceClusterChecks,
  ...tableChecks,
  ...targetChecks,
  ...knownClusterChecks,
  ...duplicationChecks,
  ...envChecks,
  atomicWrites,
  ...timerChecks,
  ...metaproxyChecks,
]

/** Judges what was gathered; `emit` hears each result as it is there. Results come in the order of `checks`. */
export async function runPreflight(
  facts: PreflightFacts,
  emit: (result: CheckResult) => void = () => {},
): Promise<CheckResult[]> {
  const results: CheckResult[] = []
  for (const check of checks) {
    const result = {id: check.id, title: check.title, ...(unreadFinding(check, facts) ?? (await check.run(facts)))}
    results.push(result)
    emit(result)
  }

  return results
}

/** What a check says when a fact that it stands on could not be read: never `ok`. */
function unreadFinding(check: Check, facts: PreflightFacts): Finding | undefined {
  const missing = (check.needs ?? []).filter((name) => facts.unread.has(name))
  const [first] = missing
  if (first === undefined) return undefined
  const cause = facts.unread.get(first)!
  if (isMigratorError(cause, NO_TABLE) && check.id !== 'source-table')
    return skipped('not judged: there is no such table')
  if (isMigratorError(cause, NO_TABLE))
    return {evidence: cause.message, remedy: 'correct --table or --source-meta', severity: 'error'}
  return {
    evidence: `not judged, because ${missing.join(', ')} could not be read: ${cause.message}`,
    remedy:
      (isMigratorError(cause) ? cause.next : undefined) ??
      'repair what is named and run it again; preflight changes nothing',
    severity: check.unread ?? 'error',
  }
}
