import type {Unread} from '../migration/status/facts.js'
import type {TableStatus} from '../migration/status/report.js'
import {formatCount, formatDuration, formatTimeOfDay, plural} from './text.js'

/** Partitions that are named; the rest is counted, and in --json. */
const WORST = 5

export function duplicationLines(
  {duplication, otherDuplications, partitionCount}: TableStatus,
  nowMs: number,
): string[] {
  const others = otherDuplications.map(({dupid, remote, status}) => `beside it: ${dupid} to ${remote}, ${status}`)
  if (!duplication) return ['none', ...others]
  const {batching, createdAtMs, dupid, lag, ours, pendingMutations, remote, shippingPartitions, status, unreported} =
    duplication
  const whose = ours ? 'ours' : 'not in the journal here'
  const lines = [`${dupid} to ${remote}, ${status}, ${whose}, added ${formatDuration(nowMs - createdAtMs)} ago`]
  const pending = pendingMutations === undefined ? 'lag unknown' : `${plural(pendingMutations, 'mutation')} pending`
  lines.push(
    `${formatCount(shippingPartitions)} of ${plural(partitionCount ?? 0, 'partition ships', 'partitions ship')}, ${pending}`,
  )
  const worst = lag
    .slice(0, WORST)
    .map(({lagMutations, partitionIndex, server}) => `${partitionIndex} on ${server}: ${formatCount(lagMutations)}`)
  if (worst.length > 0)
    lines.push(
      `lag per partition, worst first: ${worst.join('; ')}${lag.length > WORST ? `; ${formatCount(lag.length - WORST)} more in --json` : ''}`,
    )
  if (unreported.length > 0)
    lines.push(
      `${plural(unreported.length, 'partition does', 'partitions do')} not report it yet: ${listed(unreported)}`,
    )
  const odd = lag.filter(({failMode}) => failMode !== 'FAIL_SLOW')
  if (odd.length > 0) lines.push(`${plural(odd.length, 'partition')} in ${odd[0]!.failMode}: mutations may be skipped`)
  if (batching.length > 0)
    lines.push(
      `${plural(batching.length, 'source server ships', 'source servers ship')} in batches, which may reorder overwrites: ${listed(batching)}`,
    )
  return [...lines, ...others]
}

export function deniesLine({source, target}: TableStatus): string {
  const there = target ? (target.reached ? (target.deny ?? 'none') : 'not read') : 'unknown'
  return `source: ${source.deny ?? 'none'}; target: ${there}`
}

export function proxyLines({proxies}: TableStatus): string[] {
  return proxies.map(({address, problem, side}) => {
    if (problem) return `${address}: ${problem.message}`
    return `${address} leads to ${side === 'other' ? 'neither source nor target' : `the ${side}`}`
  })
}

/** Settings of one name and value together. */
export function settingLines({settings}: TableStatus): string[] {
  const groups = new Map<string, string[]>()
  for (const {before, left, name, now, server, side} of settings) {
    const state = left
      ? `still ${now}, was ${before}`
      : now === undefined
        ? `not read, was ${before}`
        : `back at ${now}`
    const key = `${name} ${state}`
    groups.set(key, [...(groups.get(key) ?? []), server ?? `${side} metas`])
  }

  return [...groups].map(([key, where]) => `${key}: ${listed(where)}`)
}

export function journalLines({journal}: TableStatus, nowMs: number): Array<[string, string | undefined]> {
  if (!journal) return [['Journal', 'none on this machine']]
  const {disagreements, ended, lastAtMs, path, phase, run, startedAtMs, targetCluster} = journal
  const at = (ms: number) => `${formatTimeOfDay(ms)} (${formatDuration(nowMs - ms)} ago)`
  const how = ended ? `ended as ${ended.outcome} at ${at(ended.atMs)}` : `has not ended, last record at ${at(lastAtMs)}`
  const where = phase ? `, ${phase.state} ${phase.id}` : ''
  return [
    ['Journal', `run ${run} to ${targetCluster}, begun at ${at(startedAtMs)}${where}; ${how}; ${path}`],
    ...disagreements.map((sentence, index): [string, string] => [index === 0 ? 'Disagrees' : '', sentence]),
  ]
}

export function unreadLines(unread: readonly Unread[]): string[] {
  return [...new Set(unread.map(({message, what}) => `${what}: ${message}`))].slice(0, 10)
}

function listed(items: ReadonlyArray<number | string>): string {
  const shown = items.slice(0, WORST).join(', ')
  return items.length > WORST ? `${shown} and ${formatCount(items.length - WORST)} more` : shown
}
