import {expectedWindow, type MigrationPlan} from '../migration/plan.js'
import type {MigrationRequest} from '../migration/request.js'
import type {MigrationResult} from '../migration/result.js'
import {envSentences} from './env-diff.js'
import {formatSeconds, paragraph, plural, printable, wrap} from './text.js'

const LABEL_WIDTH = 8
const NARROW = 60

/** `13 s to 25 s` */
function rangeOf(minMs: number, maxMs: number): string {
  return minMs < 1000 ? `up to ${formatSeconds(maxMs)}` : `${formatSeconds(minMs)} to ${formatSeconds(maxMs)}`
}

function sizeOf({partitionCount, replicaCount, tableMb}: MigrationPlan): string {
  const size = tableMb === undefined ? '' : `, about ${tableMb < 1 ? 'less than 1 MB' : formatMb(tableMb)} to copy`
  return `${plural(partitionCount, 'partition')} of ${plural(replicaCount, 'replica')}${size.replace('about less', 'less')}`
}

function formatMb(mb: number): string {
  return mb < 10_240 ? `${Math.round(mb)} MB` : `${(mb / 1024).toFixed(1)} GB`
}

function moveSentence({source, table, target}: MigrationResult, plan: MigrationPlan): string {
  const versions = (side: {versions: string[]}) => (side.versions.length > 0 ? ` (${side.versions.join(', ')})` : '')
  return `${table} from ${source.cluster}${versions(plan.source)} to ${target.cluster}${versions(plan.target)}: ${sizeOf(plan)}. It keeps its name.`
}

/** What a client sees while writes are denied, by `--deny-mode`. */
const denied = {
  reconfig: 'a write fails at once (with --deny-mode timeout: no answer until its own timeout)',
  timeout: 'a write gets no answer until its own timeout (with --deny-mode reconfig: it fails at once)',
}

function noticeSentences(plan: MigrationPlan, request: MigrationRequest): string[] {
  const expected = expectedWindow(plan)
  const {drainMs} = expected
  const longestMs = (window: MigrationPlan['window']) => window.spreadMs + window.drainMs.max + window.switchMs
  const slow =
    expected === plan.window
      ? ''
      : ` If the config sync cannot be shortened: up to ${formatSeconds(longestMs(plan.window))}.`
  return [
    'From the begin of the copy to the end: incr, check_and_set and check_and_mutate are refused. Nothing else.',
    `At the cutover: writes are denied for ${rangeOf(drainMs.min, longestMs(expected))}, never longer than ${formatSeconds(request.maxWriteDenyMs)}; ${denied[request.denyMode]}. Reads go on.${slow}`,
    request.metaproxy
      ? 'After it: clients of metaproxy go on at the target by themselves; those that name the source are refused.'
      : 'After it: nobody is sent to the target by itself: you are asked, and you point the applications there.',
  ]
}

function backSentence(plan: MigrationPlan, {table}: MigrationRequest): string {
  const undo = formatSeconds(expectedWindow(plan).undoMs)
  return `Ctrl-C at any second before the switch: writes are allowed again within ${undo}. Later: pegasus table:migrate-rollback -t ${table}.`
}

/** One line per block of labels; beside the label where there is room. */
function block(label: string, sentences: readonly string[], width: number): string[] {
  const isNarrow = width < NARROW
  const indent = ' '.repeat(isNarrow ? 2 : LABEL_WIDTH + 2)
  const lines = sentences.flatMap((sentence) => paragraph(sentence, indent, width))
  if (isNarrow) return [label, ...lines]
  return lines.map((line, index) => (index === 0 ? label.padEnd(LABEL_WIDTH + 2) + line.trimStart() : line))
}

/** The plan as it is talked through before anything is changed. */
export function planTalk(result: MigrationResult, request: MigrationRequest, width: number): string[] {
  const {plan} = result
  if (!plan) return []
  return [
    ...block('Move', [moveSentence(result, plan)], width),
    ...block('Notice', noticeSentences(plan, request), width),
    ...block(
      'Keep',
      [
        'The copy on the source stays, closed to clients. Every setting that is changed is put back.',
        ...envSentences(result),
      ],
      width,
    ),
    ...block('Back', [backSentence(plan, request)], width),
  ]
}

/** The same sentence for several servers becomes one. */
export function groupSteps(effects: readonly string[]): string[] {
  const groups = new Map<string, string[]>()
  for (const effect of effects) {
    const match = /^(.* on )((?:source|target) server )(\S+)(.*)$/.exec(effect)
    const key = match ? `${match[1]}\0${match[2]}\0${match[4]}` : effect
    groups.set(key, [...(groups.get(key) ?? []), match?.[3] ?? ''])
  }

  return [...groups].map(([key, servers]) => {
    const [before, kind, after] = key.split('\0')
    if (kind === undefined) return key
    return servers.length === 1
      ? `${before}${kind}${servers[0]}${after}`
      : `${before}${servers.length} ${kind.trim()}s${after}`
  })
}

/** Numbered sentences, for a dry run and before the confirmation. */
export function planLines(effects: readonly string[], width: number): string[] {
  const steps = groupSteps(effects)
  const digits = String(steps.length).length
  const indent = ' '.repeat(digits + 4)
  return steps.flatMap((step, index) =>
    wrap(printable(step), Math.max(20, width - indent.length)).map((line, part) =>
      part === 0 ? ` ${String(index + 1).padStart(digits)}.  ${line}` : `${indent}${line}`,
    ),
  )
}
