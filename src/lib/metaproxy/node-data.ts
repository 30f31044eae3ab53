import {MigratorError, messageOf} from '../errors.js'
import {splitAddress} from '../rpc/transport.js'

/** What a metaproxy node says about a table: the cluster that serves it. */
export interface NodeData {
  clusterName: string
  /** `host:port` each, without repetitions. */
  metaAddresses: string[]
}

/** As much of a node as an error message carries. */
const EVIDENCE_CHARACTERS = 200

function badNode(path: string, bytes: Buffer, detail: string, cause?: unknown): MigratorError {
  const evidence = JSON.stringify(bytes.toString('utf8').slice(0, EVIDENCE_CHARACTERS))
  return new MigratorError('metaproxy.bad_node', `metaproxy cannot use ${path}: ${detail}; it holds ${evidence}`, {
    cause,
    facts: {bytes: bytes.length, evidence, path},
    next: 'write {"cluster_name":"...","meta_addrs":"host:port,host:port"} into the node in one set',
  })
}

function parseAddresses(list: string): string[] {
  const addresses = list.split(',').map((entry) => entry.trim())
  for (const address of addresses) splitAddress(address)
  return addresses
}

/**
 * Reads `{"cluster_name": "...", "meta_addrs": "host:port,host:port"}` as strictly as metaproxy does (protocol.md §9).
 * @param path the node's path, for the message
 * @throws MigratorError `metaproxy.bad_node` with the bytes found: no JSON, no cluster name, no address, or fewer than
 *   two addresses, for which metaproxy answers ERR_INVALID_DATA (measured.md §8)
 */
export function parseNodeData(bytes: Buffer, path = 'the node'): NodeData {
  let value: unknown
  try {
    // ignoreBOM: metaproxy's parser refuses a byte order mark, TextDecoder would hide it.
    value = JSON.parse(new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(bytes))
  } catch (error) {
    throw badNode(path, bytes, `not JSON (${messageOf(error)})`, error)
  }

  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badNode(path, bytes, 'not an object')
  const {cluster_name: clusterName, meta_addrs: metaAddrs} = value as Record<string, unknown>
  if (typeof clusterName !== 'string' || clusterName === '') throw badNode(path, bytes, 'no cluster_name')
  if (typeof metaAddrs !== 'string' || metaAddrs === '') throw badNode(path, bytes, 'no meta_addrs')
  let addresses: string[]
  try {
    addresses = parseAddresses(metaAddrs)
  } catch (error) {
    throw badNode(path, bytes, `meta_addrs: ${messageOf(error)}`, error)
  }

  if (addresses.length < 2) throw badNode(path, bytes, 'meta_addrs has one entry, metaproxy wants two or more')
  return {clusterName, metaAddresses: [...new Set(addresses)]}
}

/**
 * The bytes of a node that names `clusterName`. A single address is written twice: metaproxy refuses a list of one
 * and takes the same one twice (measured.md §8).
 * @throws TypeError for an empty name, no address, or an address that is not `host:port`
 */
export function formatNodeData(clusterName: string, metaAddresses: readonly string[]): Buffer {
  if (clusterName === '') throw new TypeError('a metaproxy node needs a cluster name')
  if (metaAddresses.length === 0) throw new TypeError('a metaproxy node needs a meta address')
  for (const address of metaAddresses) splitAddress(address)
  const addresses = metaAddresses.length === 1 ? [metaAddresses[0], metaAddresses[0]] : metaAddresses
  return Buffer.from(JSON.stringify({cluster_name: clusterName, meta_addrs: addresses.join(',')}))
}
