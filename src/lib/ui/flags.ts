import {Flags, type Interfaces} from '@oclif/core'
import {defaultLimits, type PhaseLimits} from '../migration/request.js'
import {
  parseAddresses,
  parseAtLeastOne,
  parseCheckIds,
  parseClusterName,
  parseCount,
  parseDuration,
  parseRoot,
  parseTableName,
  parseZooKeeper,
} from './parse.js'

/** Environment variable of a flag: `max-write-deny` → `PEGASUS_MIGRATE_MAX_WRITE_DENY`. */
const env = (flag: string) => `PEGASUS_MIGRATE_${flag.replaceAll('-', '_').toUpperCase()}`

/** Checked when flags are parsed, taken apart by request.ts: oclif's types know no flag whose value is a list. */
const checked = (parse: (input: string) => unknown) =>
  Flags.custom<string>({
    async parse(input) {
      parse(input)
      return input
    },
  })

const addresses = checked(parseAddresses)
const checkIds = checked(parseCheckIds)
const clusterName = checked(parseClusterName)
const tableName = checked(parseTableName)
const zooKeeper = checked(parseZooKeeper)
const zooKeeperPath = checked(parseRoot)
const atLeastOne = Flags.custom<number>({parse: async (input) => parseAtLeastOne(input)})
const count = Flags.custom<number>({parse: async (input) => parseCount(input)})
const duration = Flags.custom<number>({parse: async (input) => parseDuration(input)})

/** The same flag for a command that can do without it. */
export function optional(
  flag: Interfaces.OptionFlag<string> | Interfaces.OptionFlag<string | undefined>,
  changes: {dependsOn?: string[]; description: string},
): Interfaces.OptionFlag<string | undefined> {
  return {...flag, ...changes, required: false} as Interfaces.OptionFlag<string | undefined>
}

export const sourceFlags = {
  table: tableName({
    char: 't',
    description: 'Table to move. It keeps its name.',
    env: env('table'),
    helpGroup: 'TABLE',
    helpValue: 'NAME',
    required: true,
  }),
  'source-meta': addresses({
    description: 'Meta servers of the cluster that the table lives on now. This or --from is needed.',
    env: 'PEGASUS_META_SERVERS',
    helpGroup: 'TABLE',
    helpValue: 'HOST:PORT,...',
  }),
}

export const targetFlags = {
  cluster: clusterName({
    char: 'c',
    description:
      "Cluster to move it to, by the name that the source's servers have for it in [pegasus.clusters]. This or --to is needed.",
    env: env('cluster'),
    helpGroup: 'TABLE',
    helpValue: 'NAME',
  }),
  meta: addresses({
    char: 'm',
    description: 'Meta servers of the cluster to move it to. This or --to is needed.',
    env: env('meta'),
    helpGroup: 'TABLE',
    helpValue: 'HOST:PORT,...',
  }),
}

export const metaproxyFlags = {
  root: zooKeeperPath({
    char: 'r',
    description:
      "ZooKeeper path that metaproxy's tables are under. Without it nothing is switched: you move the clients.",
    env: env('root'),
    helpGroup: 'METAPROXY',
    helpValue: 'PATH',
  }),
  node: zooKeeper({
    char: 'n',
    description: "ZooKeeper of metaproxy; the source cluster's own when not given.",
    env: env('node'),
    helpGroup: 'METAPROXY',
    helpValue: 'HOST:PORT,...',
  }),
  proxy: addresses({
    description:
      'A metaproxy to ask whether clients are sent to the target; say each one. Without any, the switch stays unconfirmed.',
    env: env('proxy'),
    helpGroup: 'METAPROXY',
    helpValue: 'HOST:PORT',
    multiple: true,
    multipleNonGreedy: true,
  }),
  'after-drain': Flags.option({options: ['ask', 'keep', 'lift'] as const})({
    default: 'ask',
    description:
      'Without --root, once everything is on the target: ask you, keep (you move the clients now: the source refuses everyone), or lift (writes are allowed again).',
    env: env('after-drain'),
    helpGroup: 'METAPROXY',
  }),
}

export const cutoverFlags = {
  threshold: count({
    char: 'p',
    default: 10_000,
    defaultHelp: async () => '10K',
    description: 'Deny writes once no more mutations than this are still to be shipped (10000, 10K, 2M).',
    env: env('threshold'),
    helpGroup: 'CUTOVER',
    helpValue: 'COUNT',
  }),
  'max-write-deny': duration({
    default: 120_000,
    defaultHelp: async () => '120s',
    description: 'Longest time that writes may be denied; before it is over they are allowed again and the run stops.',
    env: env('max-write-deny'),
    helpGroup: 'CUTOVER',
    helpValue: 'DURATION',
  }),
  'deny-mode': Flags.option({options: ['timeout', 'reconfig'] as const})({
    default: 'timeout',
    description: 'What a client sees while writes are denied: silence until its own timeout, or an error at once.',
    env: env('deny-mode'),
    helpGroup: 'CUTOVER',
  }),
  'cutover-attempts': count({
    default: 3,
    defaultHelp: async () => '3',
    description: 'How often to try before the run stops, when a cutover had to be taken back.',
    env: env('cutover-attempts'),
    helpGroup: 'CUTOVER',
    helpValue: 'COUNT',
  }),
  'fast-cutover': Flags.boolean({
    allowNo: true,
    description:
      "Shorten the source servers' config sync to 1 s for the cutover (2.5 only, put back afterwards). By default where the metas can bear it.",
    env: env('fast-cutover'),
    helpGroup: 'CUTOVER',
  }),
  guard: Flags.boolean({
    allowNo: true,
    default: true,
    description: 'Let a second process watch the cutover, which allows writes again if this one dies.',
    env: env('guard'),
    helpGroup: 'CUTOVER',
  }),
}

export const verifyFlags = {
  verify: Flags.option({options: ['none', 'count', 'sample', 'full'] as const})({
    default: 'sample',
    description: 'What to compare of both sides before writes are denied.',
    env: env('verify'),
    helpGroup: 'VERIFY',
  }),
  'verify-rows': count({
    default: 10_000,
    defaultHelp: async () => '10K',
    description: 'Rows of each side that --verify sample compares.',
    env: env('verify-rows'),
    helpGroup: 'VERIFY',
    helpValue: 'COUNT',
  }),
  'max-rows-per-second': atLeastOne({
    description: 'Read no more rows a second for it, on each side (5000, 50K); see --verify-limit.',
    env: env('max-rows-per-second'),
    helpGroup: 'VERIFY',
    helpValue: 'COUNT',
  }),
}

export const runFlags = {
  'dry-run': Flags.boolean({
    description: 'Check everything and say what would be done. Changes nothing.',
    env: env('dry-run'),
    helpGroup: 'RUN',
  }),
  yes: Flags.boolean({
    description: 'Do not ask before it begins. Needed without a terminal.',
    env: env('yes'),
    helpGroup: 'RUN',
  }),
  quiet: Flags.boolean({
    description: 'Show nothing but warnings, questions and the outcome.',
    env: env('quiet'),
    helpGroup: 'RUN',
  }),
  accept: checkIds({
    description: 'Go on although this preflight check wants a confirmation. On a terminal you are asked instead.',
    env: env('accept'),
    helpGroup: 'RUN',
    helpValue: 'CHECK',
    multiple: true,
    multipleNonGreedy: true,
  }),
}

/** `--drain-limit 90s`: longest time for one phase. Without a default the limit follows the servers' own timers. */
function limit(flag: string, what: string, defaultMs?: number) {
  const asHours = defaultMs !== undefined && defaultMs % 3_600_000 === 0
  const shown = asHours ? `${defaultMs / 3_600_000}h` : `${(defaultMs ?? 0) / 1000}s`
  return duration({
    default: defaultMs,
    defaultHelp: async () => (defaultMs === undefined ? '' : shown),
    description: what,
    env: env(flag),
    helpGroup: 'TIME LIMIT',
    helpValue: 'DURATION',
  })
}

export const limitFlags = {
  'preflight-limit': limit('preflight-limit', 'Longest time for Preflight.', defaultLimits.preflightMs),
  'duplicate-limit': limit(
    'duplicate-limit',
    'Longest time for Duplicate, the copy of the data.',
    defaultLimits.duplicateMs,
  ),
  'catch-up-limit': limit('catch-up-limit', 'Longest time for Catch up.', defaultLimits.catchUpMs),
  'verify-limit': limit('verify-limit', 'Longest time for Verify.', defaultLimits.verifyMs),
  'deny-limit': limit('deny-limit', "Longest time until every server refuses writes; else from the servers' timers."),
  'drain-limit': limit(
    'drain-limit',
    "Longest time until the last write is on the target; else from the servers' timers.",
  ),
  'switch-limit': limit('switch-limit', 'Longest time for Switch.', defaultLimits.switchMs),
  'finish-limit': limit('finish-limit', 'Longest time for Finish.', defaultLimits.finishMs),
  'hold-limit': limit(
    'hold-limit',
    'Longest time to be held, or to wait for the cutover window; then the run stops, writes allowed.',
    defaultLimits.holdMs,
  ),
  'stall-limit': limit(
    'stall-limit',
    'Give up Duplicate or Catch up when nothing has moved for this long.',
    defaultLimits.stallMs,
  ),
}

/** The limits as the library wants them. */
export function toLimits(flags: {[K in keyof typeof limitFlags]?: number}): PhaseLimits {
  return {
    catchUpMs: flags['catch-up-limit'] ?? defaultLimits.catchUpMs,
    denyMs: flags['deny-limit'],
    drainMs: flags['drain-limit'],
    duplicateMs: flags['duplicate-limit'] ?? defaultLimits.duplicateMs,
    finishMs: flags['finish-limit'] ?? defaultLimits.finishMs,
    holdMs: flags['hold-limit'] ?? defaultLimits.holdMs,
    preflightMs: flags['preflight-limit'] ?? defaultLimits.preflightMs,
    stallMs: flags['stall-limit'] ?? defaultLimits.stallMs,
    switchMs: flags['switch-limit'] ?? defaultLimits.switchMs,
    verifyMs: flags['verify-limit'] ?? defaultLimits.verifyMs,
  }
}
