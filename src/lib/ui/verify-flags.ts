import {Flags} from '@oclif/core'
import type {VerifyRequest} from '../migration/verify/run.js'
import {runFlags, sourceFlags, targetFlags} from './flags.js'
import {namedClusterFlags, requireFlags} from './named-clusters.js'
import {parseAddresses, parseAtLeastOne, parseDuration} from './parse.js'

const env = (flag: string) => `PEGASUS_VERIFY_${flag.replaceAll('-', '_').toUpperCase()}`
const duration = Flags.custom<number>({parse: async (input) => parseDuration(input)})
const atLeastOne = Flags.custom<number>({parse: async (input) => parseAtLeastOne(input)})

/** The same flag with words of this command; a spread alone would lose that it is required. */
function described<F extends object>(flag: F, description: string): F {
  return {...flag, description}
}

export const verifyCommandFlags = {
  table: described(sourceFlags.table, 'Table to compare.'),
  'source-meta': described(
    sourceFlags['source-meta'],
    'Meta servers of the cluster that the table is copied from. This or --from is needed.',
  ),
  cluster: described(targetFlags.cluster, 'Cluster that it is copied to. This or --to is needed.'),
  meta: described(targetFlags.meta, 'Meta servers of that cluster. This or --to is needed.'),
  ...namedClusterFlags,
  mode: Flags.option({options: ['full', 'sample', 'count'] as const})({
    default: 'full',
    description: 'Compare every row, a sample of them, or only how many there are.',
    env: env('mode'),
    helpGroup: 'COMPARISON',
  }),
  'sample-rows': atLeastOne({
    default: 10_000,
    defaultHelp: async () => '10K',
    description: 'Rows of each side that --mode sample compares.',
    env: env('sample-rows'),
    helpGroup: 'COMPARISON',
    helpValue: 'COUNT',
  }),
  'show-values': Flags.boolean({
    description: 'Show values of rows that differ, up to 256 bytes; by default only their length and hash.',
    env: env('show-values'),
    helpGroup: 'COMPARISON',
  }),
  parallel: atLeastOne({
    default: 4,
    defaultHelp: async () => '4',
    description: 'Partitions that are read at once.',
    env: env('parallel'),
    helpGroup: 'LOAD',
    helpValue: 'COUNT',
  }),
  'max-rows-per-second': atLeastOne({
    description: 'Read no more rows a second, on each side (5000, 50K).',
    env: env('max-rows-per-second'),
    helpGroup: 'LOAD',
    helpValue: 'COUNT',
  }),
  'max-bytes-per-second': atLeastOne({
    description: 'Read no more bytes a second, on each side (500K, 20M).',
    env: env('max-bytes-per-second'),
    helpGroup: 'LOAD',
    helpValue: 'COUNT',
  }),
  limit: duration({
    description: 'Compare no further rows after this time; what is done is kept for the next run.',
    env: env('limit'),
    helpGroup: 'RUN',
    helpValue: 'DURATION',
  }),
  quiet: {...runFlags.quiet, env: env('quiet')},
  resume: Flags.boolean({
    allowNo: true,
    default: true,
    description: 'Leave partitions out that a run before, which was cut short, has found the same.',
    env: env('resume'),
    helpGroup: 'RUN',
  }),
}

/** What the flags come to; lists are not taken apart yet. */
export interface VerifyFlags {
  cluster?: string
  limit?: number
  'max-bytes-per-second'?: number
  'max-rows-per-second'?: number
  meta?: string
  mode: VerifyRequest['mode']
  parallel: number
  resume: boolean
  'sample-rows': number
  'show-values'?: boolean
  'source-meta'?: string
  table: string
}

/** @param given with what a clusters file stands for. @throws MigratorError `usage` */
export function toVerifyRequest(given: VerifyFlags): VerifyRequest {
  const flags = requireFlags(given, ['source-meta', 'cluster', 'meta'])
  return {
    limitMs: flags.limit,
    maxBytesPerSecond: flags['max-bytes-per-second'],
    maxRowsPerSecond: flags['max-rows-per-second'],
    mode: flags.mode,
    parallel: flags.parallel,
    resume: flags.resume,
    sampleRows: flags['sample-rows'],
    showValues: flags['show-values'] ?? false,
    sourceMetas: parseAddresses(flags['source-meta']),
    table: flags.table,
    targetCluster: flags.cluster,
    targetMetas: parseAddresses(flags.meta),
  }
}
