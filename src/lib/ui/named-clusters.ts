import {Flags} from '@oclif/core'
import {join} from 'node:path'
import {clustersFileName, type NamedCluster, type NamedClusters, readClusters} from '../config/clusters.js'
import {MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import {parseClusterName} from './parse.js'

const clusterName = Flags.custom<string>({parse: async (input) => parseClusterName(input)})

/** Flags of every command that wants to know where clusters are. */
export const namedClusterFlags = {
  from: clusterName({
    description: 'The cluster that the table lives on now, by its name in the clusters file: metas and metaproxy.',
    env: 'PEGASUS_MIGRATE_FROM',
    helpGroup: 'TABLE',
    helpValue: 'NAME',
  }),
  to: clusterName({
    description: 'The cluster that it is moved to, by its name in the clusters file: cluster name and metas.',
    env: 'PEGASUS_MIGRATE_TO',
    helpGroup: 'TABLE',
    helpValue: 'NAME',
  }),
  'clusters-file': Flags.string({
    description: `File with named clusters; ${clustersFileName} in the shell's configuration directory when not given.`,
    env: 'PEGASUS_MIGRATE_CLUSTERS_FILE',
    helpGroup: 'TABLE',
    helpValue: 'FILE',
  }),
}

/** What a clusters file can stand for. */
export interface Filled {
  cluster?: string
  meta?: string
  node?: string
  proxy?: string | string[]
  root?: string
  'source-meta'?: string
}

export interface ParsedFlags<F> {
  flags: F
  /** What was typed, as oclif's parser tells it. */
  raw: readonly {flag?: string; type: string}[]
}

type Names = {'clusters-file'?: string; from?: string; to?: string}

/**
 * Puts in what the named clusters stand for. What was typed outranks it; what came from the environment outranks it
 * unless the name itself was typed.
 * @param fills flags of the command that may be filled
 * @throws MigratorError `usage`, or as `readClusters`
 */
export async function withNamedClusters<F extends Filled & Names>(
  {flags, raw}: ParsedFlags<F>,
  configDirectory: string,
  fills: readonly string[],
): Promise<F> {
  const {from, to} = flags
  if (from === undefined && to === undefined) return flags
  if (from === to) throw usage(`--from and --to name the same cluster, ${from}`)
  const path = flags['clusters-file'] ?? join(configDirectory, clustersFileName)
  const clusters = await readClusters(path)
  const typed = new Set(raw.filter(({type}) => type === 'flag').map(({flag}) => flag))
  const filled = {...flags}
  const fill = (side: 'from' | 'to', values: Filled) => {
    for (const [name, value] of Object.entries(values) as [keyof Filled, string | string[] | undefined][]) {
      if (value === undefined || !fills.includes(name) || typed.has(name)) continue
      if (filled[name] === undefined || typed.has(side)) Object.assign(filled, {[name]: value})
    }
  }

  if (from !== undefined) fill('from', ofSource(named(clusters, from, path)))
  if (to !== undefined) fill('to', ofTarget(named(clusters, to, path)))
  return filled
}

function ofSource({metas, proxies, zookeeperHosts, zookeeperRoot}: NamedCluster): Filled {
  return {
    node: zookeeperHosts,
    ...(proxies.length > 0 && zookeeperRoot !== undefined ? {proxy: proxies} : {}),
    root: zookeeperRoot,
    'source-meta': metas.join(','),
  }
}

function ofTarget({cluster, metas}: NamedCluster): Filled {
  return {cluster, meta: metas.join(',')}
}

function named(clusters: NamedClusters, name: string, path: string): NamedCluster {
  const cluster = clusters.get(name)
  if (cluster) return cluster
  throw usage(`clusters file ${path} has no cluster ${name}; it names ${[...clusters.keys()].join(', ')}`)
}

/** Which flag may stand for another that is missing. */
const alternatives: Record<string, string> = {cluster: 'to', meta: 'to', 'source-meta': 'from'}

/** oclif cannot know what a file fills in, so that this is looked at afterwards. @throws MigratorError `usage` */
export function requireFlags<F extends object, K extends keyof F & string>(
  flags: F,
  needed: readonly K[],
): F & {[N in K]-?: NonNullable<F[N]>} {
  for (const name of needed) {
    if (flags[name] !== undefined) continue
    throw usage(
      `Missing required flag ${name}: say --${name}, or --${alternatives[name]} and a name from the clusters file`,
    )
  }

  return flags as F & {[N in K]-?: NonNullable<F[N]>}
}

/** The same for flags that make no sense without another. @throws MigratorError `usage` */
export function requireTogether<F extends object>(
  flags: F,
  pairs: readonly (readonly [keyof F & string, keyof F & string])[],
): void {
  for (const [flag, needs] of pairs) {
    if (flags[flag] !== undefined && flags[needs] === undefined)
      throw usage(`--${flag} says nothing without --${needs}`)
  }
}

export function usage(message: string): MigratorError {
  return new MigratorError('usage', message, {exitCode: ExitCode.usage})
}
