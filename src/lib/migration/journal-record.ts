import {isTexts} from '../values.js'
import type {EffectKind} from './effects.js'
import type {JournalRecord} from './journal.js'

/* Whether a line of a journal is a record: somebody may have edited it, or a disk damaged it. */

type Fields = Record<string, unknown>
type Rule = (value: unknown) => boolean

const text: Rule = (value) => typeof value === 'string'
const number: Rule = (value) => typeof value === 'number'
const textOrNothing: Rule = (value) => value === undefined || text(value)
const textsOrNothing: Rule = (value) => value === undefined || isTexts(value)
const numberOrNothing: Rule = (value) => value === undefined || number(value)
const effect: Rule = (value) =>
  isObject(value) &&
  text(value.kind) &&
  fits(value, Object.hasOwn(effects, value.kind as string) ? effects[value.kind as EffectKind] : undefined)
const all =
  (rule: Rule): Rule =>
  (value) =>
    isObject(value) && Object.values(value).every((part) => rule(part))
const numbers = all(number)
const texts = all(text)

const tick: Rule = (value) => isObject(value) && number(value.afterMs) && number(value.byMs) && text(value.startTime)
const ticks = all(tick)

/** Effects of which a later run uses more than their kind. */
const effects: {[K in EffectKind]?: Record<string, Rule>} = {
  'close-source': {value: text},
  deny: {value: text},
  'open-source-reads': {value: text},
  'remove-duplication': {dupid: number},
  'set-meta-level': {before: text, level: text, side: text},
  'set-server-config': {before: text, name: text, server: text, side: text, value: text},
  'switch-node': {before: text, bytes: text, path: text},
}

const kinds: {[K in JournalRecord['kind']]?: Record<string, Rule>} = {
  adding: {ballots: numbers},
  after: {effect, outcome: text},
  before: {effect},
  begin: {
    maxWriteDenyMs: numberOrNothing,
    metaproxyHosts: textOrNothing,
    proxies: textsOrNothing,
    root: textOrNothing,
    sourceCluster: textOrNothing,
    sourceMetas: textsOrNothing,
    table: text,
    targetCluster: text,
    targetMetas: textsOrNothing,
    thresholdMutations: numberOrNothing,
    version: number,
  },
  compared: {shippers: texts},
  doubt: {reason: text},
  duplication: {dupid: number},
  end: {outcome: text},
  hook: {moment: text, ok: (value) => typeof value === 'boolean'},
  phase: {phase: text, state: text},
  ticks: {servers: ticks},
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function fits(value: Fields, rules: Record<string, Rule> | undefined): boolean {
  return rules === undefined || Object.entries(rules).every(([name, rule]) => rule(value[name]))
}

/** Kinds that are not known here pass: a later version may have written them. */
export function isRecord(value: unknown): value is JournalRecord {
  if (!isObject(value) || !text(value.kind) || !text(value.run)) return false
  const rules = Object.hasOwn(kinds, value.kind as string) ? kinds[value.kind as JournalRecord['kind']] : undefined
  return text(value.at) && !Number.isNaN(Date.parse(value.at as string)) && fits(value, rules)
}
