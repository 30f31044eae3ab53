import type {JournalFacts, StatusFacts} from './facts.js'
import {type StatusView, viewOf} from './view.js'

/** Where the journal says something else than the clusters and ZooKeeper, which are right. One sentence each. */
export function disagreements(facts: StatusFacts, view: StatusView = viewOf(facts)): string[] {
  const {journal, source} = facts
  if (!journal || !source?.table) return []
  return [
    denyDisagrees(journal, view),
    ...duplicationDisagrees(facts, view, journal),
    commitDisagrees(facts, view, journal),
    ...questionDisagrees(facts, journal),
  ].filter((sentence) => sentence !== undefined)
}

function denyDisagrees({hints}: JournalFacts, {closed, committed, deny}: StatusView): string | undefined {
  if (hints.deny === undefined || hints.deny === deny || (committed && closed)) return undefined
  const now = deny === undefined ? 'carries none' : `carries ${deny}`
  return `The journal says that ${hints.deny} was set on the source and not taken back; the source ${now}.`
}

function duplicationDisagrees(
  {source}: StatusFacts,
  view: StatusView,
  {hints}: JournalFacts,
): Array<string | undefined> {
  if (source!.duplications === undefined) return []
  const {entry, otherEntries, ours} = view
  const there = [entry, ...otherEntries].some((known) => known?.dupid === hints.dupid)
  return [
    hints.dupid !== undefined && !there
      ? `The journal says that duplication ${hints.dupid} is ours; the source does not know it: somebody removed it.`
      : undefined,
    ours && hints.adding && entry
      ? `The journal does not say how adding the duplication went; ${entry.dupid} is there and counts as ours.`
      : undefined,
    hints.dupid === undefined && hints.adding && !entry
      ? 'The journal does not say how adding the duplication went; there is none.'
      : undefined,
    view.committed && entry?.status === 'DS_LOG'
      ? `Duplication ${entry.dupid} may still ship, although the table was handed over: a new primary on the source would overwrite newer values on the target.`
      : undefined,
  ]
}

function commitDisagrees({node}: StatusFacts, view: StatusView, journal: JournalFacts): string | undefined {
  if (journal.switched && node?.side === 'source') {
    return `The journal says that ${node.path} was switched to ${journal.targetCluster}; it names ${node.cluster}: somebody set it back.`
  }

  if (!journal.switched && node?.side === 'target' && !view.journalFinished && journal.targetCluster === node.cluster) {
    return `The journal does not say that the switch was done; ${node.path} names ${node.cluster}, so it was.`
  }

  if (journal.ended?.outcome !== 'migrated' || view.closed) return undefined
  return `The journal says that the migration to ${journal.targetCluster} was finished; the source does not refuse every client: somebody opened it.`
}

/** Where what was asked now leads somewhere else than what the run was asked. */
function questionDisagrees({target}: StatusFacts, journal: JournalFacts): Array<string | undefined> {
  if (!target || target.cluster === journal.targetCluster) return []
  return [`The journal is of a migration to ${journal.targetCluster}; what is there leads to ${target.cluster}.`]
}
