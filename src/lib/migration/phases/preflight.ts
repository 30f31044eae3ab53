import {MigratorError} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import {plural} from '../../plural.js'
import {factsOf, type MigrationContext, type Phase} from '../context.js'
import {describeSkipping, doubtCopy, maySkip} from '../doubt.js'
import {DENY_ENV} from '../effects-live.js'
import type {CheckResult, PreflightFacts} from '../preflight/check.js'
import {nodeNamesTarget, ownDuplication} from '../preflight/clusters.js'
import {gatherFacts} from '../preflight/gather.js'
import {runPreflight} from '../preflight/index.js'
import {readTimers} from '../timers.js'

/** Read-only: gathers the facts that every later phase stands on and judges them. */
export const preflight: Phase = {
  id: 'preflight',
  async observe() {
    return {done: false}
  },
  steps: [{act: runChecks, title: 'look at both clusters and at metaproxy'}],
  summarize(context) {
    const {partitionCount} = factsOf(context).source.configuration
    return `${plural(partitionCount, 'partition')}, nothing stands in the way`
  },
}

async function runChecks(context: MigrationContext): Promise<void> {
  const {client, hints, request, signal, source, state, store} = context
  if (hints.adding && hints.dupid === undefined) {
    // An earlier run never heard the answer to its add: preflight saw none before it, so the one that is there is ours.
    const entries = await source.duplications(request.table, {signal})
    hints.dupid = entries.find(({remote}) => remote === request.targetCluster)?.dupid
  }

  const facts = await gatherFacts(request, client, {
    ...(hints.closed || hints.word ? {ownHandOver: true} : {}),
    ...(hints.deny === undefined ? {} : {ownDeny: hints.deny}),
    ...(hints.dupid === undefined ? {} : {ownDupid: hints.dupid}),
    signal,
    ...(store ? {store} : {}),
  })
  if (hints.finished) facts.ownFinished = true
  recognizeHandOver(facts, hints.finished ?? false)
  state.facts = facts
  state.timers = readTimers(facts, hints.settings)
  const own = ownDuplication(facts)
  // Kept also where this run goes no further: whoever sets it back changes nothing of what is missing.
  if (own && maySkip(own) && !context.dryRun) await doubtCopy(context, describeSkipping(own.dupid))
  const results = await runPreflight(facts, (check) => context.emit({check, type: 'check'}))
  const stopping = results.filter(
    ({id, severity}) => severity === 'error' || (severity === 'confirm' && !request.accepted.includes(id)),
  )
  if (stopping.length > 0) throw refusal(request.table, stopping)
}

/**
 * The node names the target and the source is denied: somebody's migration was switched and is not finished. That is
 * known without a journal, from any machine, and there is only forward. So it is where a migration was finished here, nothing
 * ships, and somebody has opened the source again: it must refuse everyone.
 */
function recognizeHandOver(facts: PreflightFacts, finished: boolean): void {
  if (facts.unread.has('source.duplications') || facts.unread.has('source.table') || !nodeNamesTarget(facts)) return
  const deny = facts.source.table.envs.get(DENY_ENV)
  const entry = facts.source.duplications.find(({remote}) => remote === facts.request.targetCluster)
  if (deny === undefined && !(finished && !entry)) return
  facts.ownHandOver = true
  facts.ownDeny ??= deny
  facts.ownDupid ??= entry?.dupid
}

function refusal(table: string, stopping: CheckResult[]): MigratorError {
  const confirmable = stopping.filter(({severity}) => severity === 'confirm').map(({id}) => id)
  // Of several findings the one that hurts applications at this moment.
  const first = stopping.find(({id}) => id === 'source-deny') ?? stopping[0]!
  const others = stopping.length > 1 ? ` (and ${stopping.length - 1} more)` : ''
  const onlyConfirm = confirmable.length === stopping.length
  return new MigratorError(
    'preflight.refused',
    `${table} cannot be migrated as things are: ${first.evidence}${others}`,
    {
      exitCode: ExitCode.refused,
      facts: {checks: stopping.map(({id}) => id).join(',')},
      next: onlyConfirm
        ? `If you accept that, run it again with ${confirmable.map((id) => `--accept ${id}`).join(' ')}. ${first.remedy}`
        : first.remedy,
    },
  )
}
