import {MigratorError, messageOf} from '../errors.js'
import {excerpt} from '../rpc/rpc-errors.js'
import {splitAddress} from '../rpc/transport.js'

/** What a metaproxy node says about a table: the cluster that serves it. */
export interface NodeData {
  clusterName: string
  /** `host:port` each, without repetitions. */
  metaAddresses: string[]
}

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])

function badNode(path: string, bytes: Buffer, detail: string, cause?: unknown): MigratorError {
  const evidence = JSON.stringify(excerpt(bytes.toString('utf8')))
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
  // metaproxy's parser refuses it; here it would be swallowed, in messages too.
  if (bytes.subarray(0, 3).equals(BYTE_ORDER_MARK)) throw badNode(path, bytes, 'begins with a byte order mark')
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf8', {fatal: true}).decode(bytes))
  } catch (error) {
    throw badNode(path, bytes, `not JSON (${excerpt(messageOf(error))})`, error)
  }

  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badNode(path, bytes, 'not an object')
  const {cluster_name: clusterName, meta_addrs: metaAddrs} = value as Record<string, unknown>
  if (typeof clusterName !== 'string' || clusterName === '') throw badNode(path, bytes, 'no cluster_name')
  if (typeof metaAddrs !== 'string' || metaAddrs === '') throw badNode(path, bytes, 'no meta_addrs')
  let addresses: string[]
  try {
    addresses = parseAddresses(metaAddrs)
  } catch (error) {
    throw badNode(path, bytes, `meta_addrs: ${excerpt(messageOf(error))}`, error)
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
