import {Flags} from '@oclif/core'
import {parseZooKeeperAuth} from '../metaproxy/zookeeper-options.js'
import type {StatusQuery} from '../migration/status/query.js'
import {metaproxyFlags, optional, sourceFlags, targetFlags} from './flags.js'
import {type Filled, namedClusterFlags, requireFlags, requireTogether} from './named-clusters.js'
import {parseAddresses, parseRoot} from './parse.js'

/** Checked when flags are parsed, taken apart by `toStatusQuery`. */
const proxies = Flags.custom<string>({
  async parse(input) {
    parseAddresses(input)
    return input
  },
})

/** Those of `table:migrate`, none but the current cluster required: live facts and the journal tell the rest. */
export const statusFlags = {
  table: optional(sourceFlags.table, {
    description: 'Table to show. Without it: every table that is being migrated, duplicated or denied.',
  }),
  'source-meta': {
    ...sourceFlags['source-meta'],
    description:
      "Meta servers of the cluster that the table lives on now; with a table, the journal's when neither this nor --from is given.",
  },
  ...namedClusterFlags,
  cluster: optional(targetFlags.cluster, {
    description: 'Cluster that the table is moved to; found out when not given.',
  }),
  meta: optional(targetFlags.meta, {
    description: 'Meta servers of that cluster; found out when not given.',
  }),
  root: optional(metaproxyFlags.root, {
    description: "ZooKeeper path that metaproxy's tables are under; the journal's when not given.",
  }),
  node: {
    ...metaproxyFlags.node,
    description: "ZooKeeper of metaproxy; the journal's or the source cluster's own when not given.",
  },
  proxy: proxies({
    description: "A metaproxy to ask where it leads clients; say each one. The journal's when not given.",
    env: metaproxyFlags.proxy.env,
    helpGroup: metaproxyFlags.proxy.helpGroup,
    helpValue: metaproxyFlags.proxy.helpValue,
    multiple: true,
    multipleNonGreedy: true,
  }),
  watch: Flags.boolean({
    description: 'Look again every 2 s until Ctrl-C.',
    exclusive: ['json'],
    helpGroup: 'RUN',
  }),
}

/** What the flags come to; lists are not taken apart yet. */
export interface StatusFlags extends Filled {
  table?: string
}

/**
 * @param given with what a clusters file stands for
 * @param zooKeeperAuth the value of PEGASUS_ZK_AUTH
 * @throws MigratorError `usage`
 */
export function toStatusQuery(given: StatusFlags, zooKeeperAuth: string | undefined): StatusQuery {
  const flags = requireFlags(given, ['source-meta'])
  requireTogether(flags, [['meta', 'cluster']])
  if (zooKeeperAuth) parseZooKeeperAuth(zooKeeperAuth)
  const {cluster, meta, node, root, table} = flags
  return {
    proxies: [...new Set([flags.proxy ?? []].flat().flatMap((list) => parseAddresses(list)))],
    sourceMetas: parseAddresses(flags['source-meta']),
    ...(table === undefined ? {} : {table}),
    ...(cluster === undefined ? {} : {targetCluster: cluster}),
    ...(meta === undefined ? {} : {targetMetas: parseAddresses(meta)}),
    ...(zooKeeperAuth ? {zooKeeperAuth} : {}),
    ...(node === undefined ? {} : {zooKeeperHosts: node}),
    ...(root === undefined ? {} : {zooKeeperRoot: parseRoot(root)}),
  }
}
