import {shellQuote} from '../../shell-quote.js'
import {recallLine} from '../target-health.js'
import type {StatusFacts} from './facts.js'
import {type StateId, states} from './states.js'
import type {StatusView} from './view.js'

/** The one next step: a command line, in words, if it can be told in full, and a sentence beside it. */
export interface NextStep {
  command?: string[]
  sentence: string
}

const BIN = 'pegasus'
const DENY_ENV = 'replica.deny_client_request'

type Verb = 'migrate' | 'migrate-rollback' | 'migrate-status'

/** Which command mends or goes on, per state; none where only a person can. */
const verbs: Partial<Record<StateId, {extra?: string[]; verb: Verb}>> = {
  'both-open': {verb: 'migrate'},
  'catching-up': {verb: 'migrate'},
  'caught-up': {verb: 'migrate'},
  copying: {verb: 'migrate'},
  cutover: {extra: ['--watch'], verb: 'migrate-status'},
  'denied-unclear': {verb: 'migrate-status'},
  'foreign-deny': {extra: ['--adopt'], verb: 'migrate-rollback'},
  finishing: {extra: ['--watch'], verb: 'migrate-status'},
  'forgotten-duplication': {verb: 'migrate-rollback'},
  'half-switched': {verb: 'migrate'},
  'leftover-envs': {verb: 'migrate'},
  'leftover-settings': {verb: 'migrate-rollback'},
  'orphan-target': {extra: ['--drop-target'], verb: 'migrate-rollback'},
  paused: {verb: 'migrate'},
  preparing: {verb: 'migrate'},
  'stale-proxy': {verb: 'migrate-status'},
  'switched-unfinished': {verb: 'migrate'},
  'target-missing': {extra: ['--copy-is-gone'], verb: 'migrate-rollback'},
  unclear: {verb: 'migrate-status'},
  unreachable: {verb: 'migrate-status'},
  'write-denied': {verb: 'migrate-rollback'},
}

/** States in which a run goes on by itself. */
const going: ReadonlySet<StateId> = new Set(['catching-up', 'caught-up', 'copying', 'preparing'])

/** @param sourceMetas as they were given */
export function nextOf(id: StateId, facts: StatusFacts, view: StatusView, sourceMetas: string[]): NextStep {
  const {hold, table} = facts
  if (hold && going.has(id) && hold.release.length > 0) {
    const [, ...others] = hold.release
    const also = others.length > 0 ? `, or: ${others.join(', or: ')}` : ''
    return {
      command: [BIN, 'table:migrate-release', '-t', table],
      sentence: `It waits until it is told to cut over${also}.`,
    }
  }

  const sentence = sentenceOf(id, facts, view)
  const chosen = choose(id, view)
  if (!chosen) return {sentence}
  const words = [BIN, `table:${chosen.verb}`, '-t', facts.table, '--source-meta', sourceMetas.join(',')]
  const where = whereWords(facts)
  // A rollback asks no metaproxy.
  const proxies = chosen.verb === 'migrate-rollback' ? [] : facts.proxies.flatMap(({address}) => ['--proxy', address])
  if (chosen.verb === 'migrate' && !where.includes('-m')) return {sentence}
  return {command: [...words, ...where, ...proxies, ...(chosen.extra ?? [])], sentence}
}

/** Whether a command that works on the table may be just about it: nobody else mends it meanwhile. */
function mayPass(id: StateId, {committed, working}: StatusView): boolean {
  // Behind the switch only a return denies the target; before it nobody of ours does.
  const isReturn = id === 'target-denied' && committed !== undefined
  return working && (isReturn || id === 'leftover-settings' || id === 'orphan-target')
}

/** What a new migration would not take for its own. */
const onlyByHand: ReadonlySet<StateId> = new Set([
  'both-open',
  'forgotten-duplication',
  'half-switched',
  'leftover-settings',
])

function choose(id: StateId, view: StatusView): {extra?: string[]; verb: Verb} | undefined {
  if (mayPass(id, view)) return {extra: ['--watch'], verb: 'migrate-status'}
  // Only a person knows which side the applications use by now.
  if (onlyByHand.has(id) && isFinishedWithoutNode(view)) return undefined
  // After the switch there is only forward.
  if (view.committed && ['forgotten-duplication', 'leftover-settings'].includes(id)) return {verb: 'migrate'}
  // Left so by a return that was killed: going on with it opens one side.
  if (id === 'target-denied' && view.returning) return {verb: 'migrate-rollback'}
  // Without a node nothing but the journal tells a new run that it is after the switch, and the journal says finished.
  if (id === 'leftover-envs' && view.committed !== 'node') return undefined
  // While a run may be working, looking on is the next thing to do.
  if (going.has(id) && view.working) return {extra: ['--watch'], verb: 'migrate-status'}
  return verbs[id]
}

const isFinishedWithoutNode = ({committed, journalFinished}: StatusView) => committed === 'journal' && journalFinished

function whereWords({node, target}: StatusFacts): string[] {
  const words: string[] = []
  if (target) words.push('-c', target.cluster, '-m', target.metas.join(','))
  if (!node) return words
  words.push('-r', node.path.slice(0, node.path.lastIndexOf('/')) || '/', '-n', node.hosts)
  return words
}

function sentenceOf(id: StateId, {node, proxies, source, table, target}: StatusFacts, view: StatusView): string {
  const inShell = (cluster: string, line: string) => `In the Pegasus shell on ${cluster}: ${line}`
  if (mayPass(id, view)) return 'A command works on the table: look again when it has ended.'
  const byHand = isFinishedWithoutNode(view)
  switch (id) {
    case 'forgotten-duplication': {
      return byHand ? `${inShell(source!.cluster, `remove_dup ${table} ${view.entry!.dupid}`)}.` : states[id].mend
    }

    case 'half-switched': {
      const close = inShell(source!.cluster, `use ${table}; set_app_envs ${DENY_ENV} reconfig*all`)
      return byHand ? `If the applications are on ${target?.cluster ?? 'the target'}: ${close}.` : states[id].mend
    }

    case 'leftover-settings': {
      if (byHand) return 'Set them back by hand, or restart the servers: their configuration files say what they were.'
      return view.committed ? 'The same table:migrate puts them back.' : states[id].mend
    }

    case 'leftover-envs': {
      const keys = Object.keys(target?.table?.followerEnvs ?? {}).sort()
      return inShell(target!.cluster, `use ${table}; del_app_envs ${keys.join(' ')}`)
    }

    case 'both-open': {
      if (!isFinishedWithoutNode(view)) return states[id].mend
      return `If the applications are on ${target?.cluster ?? 'the target'}: ${inShell(source!.cluster, `use ${table}; set_app_envs ${DENY_ENV} reconfig*all`)}. If they are back on ${source!.cluster}: pegasus table:migrate-rollback -t ${shellQuote(table)} --adopt.`
    }

    case 'stale-proxy': {
      const stale = proxies.filter(({side}) => side === 'source').map(({address}) => address)
      return `Restart ${stale.join(', ')}, then look again.`
    }

    case 'target-denied': {
      if (view.returning)
        return 'A return was broken off: table:migrate-rollback goes on with it, or opens the target again.'
      return inShell(target!.cluster, `use ${table}; del_app_envs ${DENY_ENV}`)
    }

    case 'handed-over': {
      return `Point the applications of ${table} at ${target ? `${target.cluster} (${target.metas.join(',')})` : 'the target'}.`
    }

    case 'node-unclear': {
      return `Find out who wrote ${node?.path ?? 'the node'}; it must name ${source!.cluster}${target ? ` or ${target.cluster}` : ''}.`
    }

    case 'target-missing': {
      const recall = target?.dropped
        ? `${recallLine(target.cluster, table, target.dropped)}: shipping goes on then. `
        : ''
      return `${recall}${recall === '' ? 'Give' : 'Or give'} up what is left to ship: table:migrate-rollback --copy-is-gone removes the duplication.`
    }

    default: {
      return states[id].mend
    }
  }
}
