import {formatCount, plural} from '../../plural.js'
import {shortList} from '../proof/shipping.js'
import type {StatusFacts, TargetFacts} from './facts.js'
import type {StateId} from './states.js'
import {CLOSED, type StatusView, viewOf} from './view.js'

/** What a table's facts come to. */
export interface NamedState {
  /** What was seen that makes it so: one sentence with names and figures. */
  because: string
  id: StateId
}

/** Names the state of a table. Pure: the same facts give the same answer. */
export function classify(facts: StatusFacts, view: StatusView = viewOf(facts)): NamedState {
  const {source} = facts
  if (!source)
    return named('unreachable', unreadSentence(facts, 'source') ?? 'The metas of the source could not be asked.')
  if (!source.table) return withoutTable(facts, view, source.cluster)
  if (view.committed) return classifyCommitted(facts, view)
  const unread = facts.unread.find(({what}) => what === 'duplications')
  if (source.duplications === undefined && view.deny === undefined) {
    return named('unclear', `The duplications of ${facts.table} could not be read: ${unread?.message ?? 'no answer'}.`)
  }

  const something = view.entry !== undefined || view.deny !== undefined
  const oddNode = something ? oddNodeSentence(facts) : undefined
  if (oddNode !== undefined) return named('node-unclear', oddNode)
  return view.deny === undefined ? classifyOpen(facts, view) : classifyDenied(facts, view, view.deny)
}

function named(id: StateId, because: string): NamedState {
  return {because, id}
}

function unreadSentence({unread}: StatusFacts, what: string): string | undefined {
  const found = unread.find((entry) => entry.what === what)
  return found && `${found.message}.`
}

function withoutTable(facts: StatusFacts, view: StatusView, cluster: string): NamedState {
  const {table} = facts
  if (view.committed) {
    return named('migrated', `${cluster} has no table ${table} any more, and ${witnessOf(facts, view)}.`)
  }

  return named('no-table', `${cluster} has no table ${table}.`)
}

function witnessOf({node}: StatusFacts, {committed}: StatusView): string {
  return committed === 'node'
    ? `${node!.path} names ${node!.cluster}`
    : 'the journal says that the table was handed over'
}

/** A node that can be read, or is surely not there, and leads to neither side. */
function oddNodeSentence({node, source, target}: StatusFacts): string | undefined {
  if (!node) return undefined
  if (node.problem?.code === 'zk.no_node') return `There is no node ${node.path}.`
  if (node.problem?.code === 'metaproxy.bad_node') return `${node.problem.message}.`
  if (node.side !== 'other') return undefined
  return `${node.path} names ${node.cluster}, neither ${source!.cluster}${target ? ` nor ${target.cluster}` : ''}.`
}

/** The table was handed over: only forward. */
function classifyCommitted(facts: StatusFacts, view: StatusView): NamedState {
  const {proxies, source, table, target} = facts
  const witness = witnessOf(facts, view)
  const to = target?.cluster ?? 'the target'
  if (target?.table?.deny !== undefined) return targetDenied(table, target)
  if (view.deny === undefined || view.deny.endsWith('*read')) {
    return named(
      'both-open',
      `${witness}, and ${source!.cluster} carries ${view.deny ?? 'no deny'}: it accepts writes too.`,
    )
  }

  const left = leftOver(facts, view)
  if (view.working && (!view.closed || left.length > 0)) {
    const todo = [
      ...(view.closed ? [] : [`${source!.cluster} still carries ${view.deny}`]),
      ...left.map(({text}) => text),
    ]
    return named('finishing', `${to} serves; to be done: ${todo.join('; ')}.`)
  }

  if (!view.closed)
    return named('half-switched', `${witness}, and ${source!.cluster} carries ${view.deny}, not reconfig*all.`)
  const stale = proxies.filter(({side}) => side === 'source').map(({address}) => address)
  if (stale.length > 0)
    return named('stale-proxy', `${witness}, and ${shortList(stale)} still leads to ${source!.cluster}.`)
  if (left.length > 0) {
    const claimed = facts.journal !== undefined && !view.journalFinished
    if (claimed)
      return named('switched-unfinished', `${to} serves; still there: ${left.map(({text}) => text).join('; ')}.`)
    return named(
      left[0]!.id,
      `${to} serves, and no run is there that would take away: ${left.map(({text}) => text).join('; ')}.`,
    )
  }

  if (source!.duplications === undefined) {
    return named('unclear', `${to} serves; the duplications of ${table} on ${source!.cluster} could not be read.`)
  }

  const open = view.committed === 'journal' && facts.journal?.ended?.outcome !== 'migrated'
  return named(open ? 'handed-over' : 'migrated', `${witness}; ${source!.cluster} refuses every client.`)
}

interface LeftOver {
  id: Extract<StateId, 'forgotten-duplication' | 'leftover-envs' | 'leftover-settings'>
  text: string
}

/** The most harmful first. */
function leftOver({settings, target}: StatusFacts, {entry}: StatusView): LeftOver[] {
  const left: LeftOver[] = []
  if (entry) left.push({id: 'forgotten-duplication', text: `duplication ${entry.dupid} in ${entry.status}`})
  const envs = Object.keys(target?.table?.followerEnvs ?? {}).sort()
  if (envs.length > 0) left.push({id: 'leftover-envs', text: `${envs.join(', ')} on ${target!.cluster}`})
  const text = settingsSentence(settings)
  if (text !== undefined) left.push({id: 'leftover-settings', text})
  return left
}

function settingsSentence(settings: StatusFacts['settings']): string | undefined {
  const left = settings.filter((setting) => setting.left)
  if (left.length === 0) return undefined
  return shortList(
    left.map(
      ({before, name, now, server, side}) => `${name}=${now} on ${server ?? `the ${side}'s metas`} (was ${before})`,
    ),
  )
}

function targetDenied(table: string, {cluster, table: copy}: TargetFacts): NamedState {
  return named('target-denied', `${table} on ${cluster} carries replica.deny_client_request=${copy!.deny}.`)
}

/** Clients are denied on the source, and it was not handed over. */
function classifyDenied(facts: StatusFacts, view: StatusView, deny: string): NamedState {
  const {guard, journal, lock, nowMs, source, table} = facts
  const carries = `${table} on ${source!.cluster} carries replica.deny_client_request=${deny}`
  if (facts.node?.problem) return named('denied-unclear', `${carries}; ${facts.node.problem.message}.`)
  const deniedAtMs = journal?.hints.deny === deny ? journal.hints.denyAtMs : undefined
  const since = deniedAtMs === undefined ? '' : `, for ${Math.round((nowMs - deniedAtMs) / 1000)} s now`
  if (view.underWay) {
    const who = guard && guard.alive !== false && guard.state !== 'watching' ? `; the guard: ${guard.text}` : ''
    const holder = lock?.held ? `; ${lock.holder ?? 'somebody'} holds the lock` : ''
    return named('cutover', `${carries}${since}${who}${holder}.`)
  }

  if (!view.ourDeny) {
    const hint =
      deny === CLOSED && !facts.node ? ' A finished migration leaves just that: with --root its node is read.' : ''
    return named('foreign-deny', `${carries}, and no journal here says why.${hint}`)
  }

  const ended = journal?.ended
    ? `its run ended (${journal.ended.outcome})`
    : 'its run has not ended and is past its bound'
  return named('write-denied', `${carries}${since}; ${ended}.`)
}

/** Writes are allowed on the source, and it was not handed over. */
function classifyOpen(facts: StatusFacts, view: StatusView): NamedState {
  return view.entry ? classifyDuplicating(facts, view, view.entry) : withoutDuplication(facts, view)
}

function withoutDuplication({journal, settings, source, table, target}: StatusFacts, view: StatusView): NamedState {
  const left = settingsSentence(settings)
  if (view.working && journal && !journal.ended && journal.phase?.id === 'duplicate')
    return named('preparing', `A run is about to duplicate ${table}${left ? `; set: ${left}` : ''}.`)
  const master = target?.table?.followerEnvs['duplication.master_cluster']
  if (master !== undefined && master === source!.cluster) {
    return named(
      'orphan-target',
      `${target!.cluster} has a copy of ${table} made from ${master}, and nothing is shipped to it.`,
    )
  }

  if (left !== undefined) return named('leftover-settings', `Still set: ${left}.`)
  const knows = view.journalFinished ? `; its last migration ended: ${journal!.ended!.outcome}` : ''
  return named('idle', `${source!.cluster} serves ${table}${knows}.`)
}

function classifyDuplicating(
  facts: StatusFacts,
  view: StatusView,
  entry: NonNullable<StatusView['entry']>,
): NamedState {
  const {source, table, target} = facts
  const what = `Duplication ${entry.dupid} to ${entry.remote} is in ${entry.status}`
  const known = target?.reached && target.cluster === entry.remote ? target : undefined
  if (known && !known.table && ['DS_LOG', 'DS_PAUSE'].includes(entry.status)) {
    return named('target-missing', `${what}, and ${known.cluster} has no table ${table}.`)
  }

  if (known?.table?.deny !== undefined) return targetDenied(table, known)
  const preparing = entry.status === 'DS_PREPARE' || entry.status === 'DS_INIT'
  const master = known?.table?.followerEnvs['duplication.master_cluster']
  // master duplicates by a name of its own, which only its configuration tells: what follows another name may be the copy.
  const mayBeOurs = master === source!.cluster || (source!.isMaster && master !== undefined)
  if (preparing && known?.table && !mayBeOurs) {
    return named(
      'copy-blocked',
      `${what}, and ${known.cluster} has a table ${table} (id ${known.table.appId}) that is no copy of it.`,
    )
  }

  // Whoever holds the lock migrates the table, from whatever machine: then the duplication is its own.
  const {lock} = facts
  if (!view.ours && !lock?.held)
    return named('foreign-duplication', `${what}, and no journal here says that a migration began it.`)
  if (view.forgotten) {
    return named(
      'forgotten-duplication',
      `${what}; the last run ${facts.journal!.ended ? `ended (${facts.journal!.ended.outcome})` : 'wrote its last record'} ${new Date(facts.journal!.lastAtMs).toISOString()}.`,
    )
  }

  const seen = lock?.held ? `${what}; ${lock.holder ?? 'somebody'} holds the lock` : what
  if (preparing) return named('preparing', `${seen}.`)
  if (entry.status === 'DS_APP') return named('copying', `${seen}.`)
  if (entry.status === 'DS_PAUSE' && !view.working) return named('paused', `${seen}.`)
  return catchingUp(facts, view, seen)
}

function catchingUp(
  {source}: StatusFacts,
  {pendingMutations, shipping, thresholdMutations}: StatusView,
  what: string,
): NamedState {
  const partitionCount = source!.table!.partitionCount
  const ship = shipping?.partitions.filter(({duplicating}) => duplicating).length ?? 0
  const figures = `${ship} of ${plural(partitionCount, 'partition ships', 'partitions ship')}, ${pendingMutations === undefined ? 'lag unknown' : `${plural(pendingMutations, 'mutation')} pending`} (threshold ${formatCount(thresholdMutations)})`
  const there = ship === partitionCount && pendingMutations !== undefined && pendingMutations <= thresholdMutations
  return named(there ? 'caught-up' : 'catching-up', `${what}; ${figures}.`)
}
