import {MigratorError, messageOf} from '../errors.js'
import {splitAddress} from '../rpc/transport.js'

/** ZooKeeper's login: `digest` with `user:password`. */
export interface ZooKeeperAuth {
  credentials: string
  scheme: string
}

function badOption(detail: string): MigratorError {
  return new MigratorError('zk.bad_option', detail)
}

/** Reads `digest:<user>:<password>`, the value of PEGASUS_ZK_AUTH. @throws MigratorError `zk.bad_option` */
export function parseZooKeeperAuth(text: string): ZooKeeperAuth {
  const match = /^(digest):([^:]+:.+)$/s.exec(text)
  // The text holds a password: not even a wrong one belongs into a message.
  if (!match) throw badOption('the ZooKeeper login is not digest:<user>:<password>')
  return {credentials: match[2]!, scheme: match[1]!}
}

/** Where ZooKeeper is: its servers, and the path that all others are below (chroot), empty or `/...`. */
export interface ZooKeeperHosts {
  base: string
  servers: string[]
}

/** Splits `host:port,host:port/chroot`. @throws MigratorError `zk.bad_option` */
export function parseZooKeeperHosts(hosts: string): ZooKeeperHosts {
  const slash = hosts.indexOf('/')
  const servers = (slash === -1 ? hosts : hosts.slice(0, slash))
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
  if (servers.length === 0) throw badOption(`no ZooKeeper server in ${JSON.stringify(hosts)}`)
  for (const server of servers) {
    try {
      // The client library splits at the first colon.
      if (splitAddress(server).host.includes(':')) throw new TypeError(`an IPv6 address cannot be used: ${server}`)
    } catch (error) {
      throw badOption(`ZooKeeper servers ${JSON.stringify(hosts)}: ${messageOf(error)}`)
    }
  }

  return {base: slash === -1 ? '' : normalizePath(hosts.slice(slash)), servers}
}

/** `/a/b` of any way to write it; empty for the root. @throws MigratorError `zk.bad_option` */
export function normalizePath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '')
  if (parts.some((part) => part === '.' || part === '..' || /\p{Cc}/u.test(part))) {
    throw badOption(`not a ZooKeeper path: ${JSON.stringify(path)}`)
  }

  return parts.map((part) => `/${part}`).join('')
}
