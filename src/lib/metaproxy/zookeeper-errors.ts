import {MigratorError} from '../errors.js'

/** An error as node-zookeeper-client hands it over. */
export interface Answer extends Error {
  code?: number | string
}

/** ZooKeeper's own codes, of those that mean something here. */
const ZooKeeperCode = {
  authFailed: -115,
  badVersion: -103,
  connectionLoss: -4,
  noAuth: -102,
  noNode: -101,
  sessionExpired: -112,
} as const

/**
 * The connection ended before an answer came; whether the server did what it was asked is open.
 * Internal: the store turns it into an outcome.
 */
export function connectionLost(hosts: string, detail = 'the connection was cut'): MigratorError {
  return new MigratorError('zk.connection_lost', `connection to ZooKeeper at ${hosts} lost: ${detail}`, {
    facts: {detail, hosts},
    retrySafe: true,
  })
}

/** The server does not take this kind of login at all. */
export function unauthenticated(scheme = 'none'): MigratorError {
  return new MigratorError('zk.auth_failed', `ZooKeeper refused the login scheme ${JSON.stringify(scheme)}`, {
    facts: {scheme},
    next: 'set PEGASUS_ZK_AUTH to digest:<user>:<password>',
  })
}

/** What an answer of ZooKeeper means: `zk.no_node`, `zk.auth_failed`, `zk.bad_version`, `zk.connection_lost`, `zk.error`. */
export function translate(answer: Answer, path: string, hosts: string): MigratorError {
  const options = {cause: answer, facts: {hosts, path}}
  switch (answer.code) {
    case ZooKeeperCode.authFailed:
    case ZooKeeperCode.noAuth: {
      return new MigratorError('zk.auth_failed', `ZooKeeper at ${hosts} does not let this login use ${path}`, {
        ...options,
        next: 'set PEGASUS_ZK_AUTH to the digest:<user>:<password> that the ACL of the node names',
      })
    }

    case ZooKeeperCode.badVersion: {
      return new MigratorError('zk.bad_version', `${path} has another version`, options)
    }

    case ZooKeeperCode.connectionLoss:
    case ZooKeeperCode.sessionExpired: {
      return connectionLost(hosts, answer.message)
    }

    case ZooKeeperCode.noNode: {
      return new MigratorError('zk.no_node', `there is no node ${path} in ZooKeeper at ${hosts}`, {
        ...options,
        next: 'check the root of metaproxy (--root) and the ZooKeeper it reads (--node)',
      })
    }

    default: {
      return new MigratorError('zk.error', `ZooKeeper at ${hosts} refused to use ${path}: ${answer.message}`, options)
    }
  }
}
