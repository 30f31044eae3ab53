import {readFile} from 'node:fs/promises'
import {messageOf, MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import {parseAddresses, parseClusterName, parseRoot, parseZooKeeper} from '../ui/parse.js'

/** The file's name in the shell's configuration directory. */
export const clustersFileName = 'table-migrator.json'

/** A cluster as the file describes it, checked. */
export interface NamedCluster {
  /** What its servers are called by other clusters, in [pegasus.clusters]. */
  cluster: string
  metas: string[]
  /** Metaproxies that lead clients of this cluster. */
  proxies: string[]
  /** ZooKeeper of metaproxy; undefined: the cluster's own. */
  zookeeperHosts?: string
  /** ZooKeeper path of metaproxy's tables; undefined: there is no metaproxy. */
  zookeeperRoot?: string
}

/** Clusters by the names that operators give them. */
export type NamedClusters = ReadonlyMap<string, NamedCluster>

/**
 * Reads and checks a clusters file (docs/clusters-file.md).
 * @throws MigratorError `config.missing`, `config.unreadable`, `config.invalid`: with the file, where in it, and what was expected
 */
export async function readClusters(path: string): Promise<NamedClusters> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new MigratorError(
      isMissing ? 'config.missing' : 'config.unreadable',
      isMissing ? `there is no clusters file ${path}` : `clusters file ${path} cannot be read: ${messageOf(error)}`,
      {
        cause: error,
        exitCode: ExitCode.usage,
        next: 'Make one (docs/clusters-file.md), or say the addresses: --source-meta, --cluster and --meta.',
      },
    )
  }

  return parseClusters(text, path)
}

/** @throws MigratorError `config.invalid` */
export function parseClusters(text: string, path: string): NamedClusters {
  const file = new ClustersFile(path)
  const {clusters, ...others} = file.object(file.json(text), '')
  // Whoever has a schema to help the editor says it so.
  delete others.$schema
  file.refuseOthers(others, '', ['clusters'])
  if (clusters === undefined) throw file.wrong('', 'no "clusters"; expected {"clusters": {"NAME": {"metas": [...]}}}')
  const known = new Map<string, NamedCluster>()
  for (const [name, value] of Object.entries(file.object(clusters, 'clusters'))) {
    const at = `clusters.${name}`
    file.parsed(at, name, parseClusterName)
    known.set(name, file.cluster(name, value, at))
  }

  if (known.size === 0) throw file.wrong('clusters', 'no cluster is named')
  return known
}

/** Checks one file; says where in it something is wrong. */
class ClustersFile {
  constructor(private readonly path: string) {}

  cluster(name: string, value: unknown, at: string): NamedCluster {
    const {cluster = name, metas, proxies = [], zookeeper, ...others} = this.object(value, at)
    this.refuseOthers(others, at, ['cluster', 'metas', 'proxies', 'zookeeper'])
    if (metas === undefined) throw this.wrong(at, 'no "metas"; expected a list of host:port')
    return {
      cluster: this.parsed(`${at}.cluster`, this.text(cluster, `${at}.cluster`), parseClusterName),
      metas: this.addresses(metas, `${at}.metas`, 1),
      proxies: this.addresses(proxies, `${at}.proxies`, 0),
      ...(zookeeper === undefined ? {} : this.zookeeper(zookeeper, `${at}.zookeeper`)),
    }
  }

  json(text: string): unknown {
    try {
      return JSON.parse(text)
    } catch (error) {
      const message = messageOf(error)
      const position = /position (\d+)/.exec(message)?.[1]
      const before = position === undefined ? undefined : text.slice(0, Number(position)).split('\n')
      const place = before ? `line ${before.length}, column ${before.at(-1)!.length + 1}` : ''
      throw this.wrong(place, `not JSON: ${message.replace(/ \(line \d+ column \d+\)$/, '')}`)
    }
  }

  object(value: unknown, at: string): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.wrong(at, `${kindOf(value)}; expected an object`)
    return value as Record<string, unknown>
  }

  /** What one of the flags' own parsers makes of it. */
  parsed<T>(at: string, input: string, parse: (input: string) => T): T {
    try {
      return parse(input)
    } catch (error) {
      const given = error instanceof MigratorError ? error.facts.input : input
      throw this.wrong(at, `${JSON.stringify(given ?? input)} is ${messageOf(error)}`)
    }
  }

  refuseOthers(others: object, at: string, known: string[]): void {
    const [name] = Object.keys(others)
    if (name === undefined) return
    throw this.wrong(at === '' ? name : `${at}.${name}`, `nothing is known by that name; expected ${listed(known)}`)
  }

  text(value: unknown, at: string): string {
    if (typeof value !== 'string') throw this.wrong(at, `${kindOf(value)}; expected a text`)
    return value
  }

  wrong(at: string, what: string): MigratorError {
    return new MigratorError('config.invalid', `clusters file ${this.path}${at === '' ? '' : `, ${at}`}: ${what}`, {
      exitCode: ExitCode.usage,
      next: 'docs/clusters-file.md shows what it looks like.',
    })
  }

  private addresses(value: unknown, at: string, least: number): string[] {
    if (!Array.isArray(value)) throw this.wrong(at, `${kindOf(value)}; expected a list of host:port`)
    if (value.length < least) throw this.wrong(at, 'an empty list; expected host:port at least once')
    const addresses = value.map((address, index) => {
      const place = `${at}[${index}]`
      return this.parsed(place, this.text(address, place), (input) => {
        const [only, ...more] = parseAddresses(input)
        if (more.length > 0) throw new Error('several; each address has a place of its own in the list')
        return only!
      })
    })
    const twice = addresses.find((address, index) => addresses.indexOf(address) !== index)
    if (twice !== undefined) throw this.wrong(at, `${JSON.stringify(twice)} is there twice`)
    return addresses
  }

  private zookeeper(value: unknown, at: string): Pick<NamedCluster, 'zookeeperHosts' | 'zookeeperRoot'> {
    const {hosts, root, ...others} = this.object(value, at)
    this.refuseOthers(others, at, ['hosts', 'root'])
    if (root === undefined) throw this.wrong(at, 'no "root"; expected the path of metaproxy\'s tables')
    return {
      ...(hosts === undefined ? {} : {zookeeperHosts: this.hosts(hosts, `${at}.hosts`)}),
      zookeeperRoot: this.parsed(`${at}.root`, this.text(root, `${at}.root`), parseRoot),
    }
  }

  private hosts(value: unknown, at: string): string {
    const hosts = Array.isArray(value) ? this.addresses(value, at, 1).join(',') : this.text(value, at)
    return this.parsed(at, hosts, parseZooKeeper)
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function listed(names: string[]): string {
  return names.map((name) => JSON.stringify(name)).join(', ')
}
