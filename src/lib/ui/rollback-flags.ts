import {Flags} from '@oclif/core'
import {parseZooKeeperAuth} from '../metaproxy/zookeeper-options.js'
import {rollbackDefaults, type RollbackRequest} from '../migration/rollback/index.js'
import {metaproxyFlags, runFlags, sourceFlags, targetFlags} from './flags.js'
import {namedClusterFlags, requireFlags, requireTogether} from './named-clusters.js'
import {parseAddresses, parseDuration, parseRoot} from './parse.js'

const duration = Flags.custom<number>({parse: async (input) => parseDuration(input)})
const env = (flag: string) => `PEGASUS_ROLLBACK_${flag.replaceAll('-', '_').toUpperCase()}`

/** Those of `table:migrate` that say where; what is not said is looked for. */
export const rollbackFlags = {
  table: {...sourceFlags.table, description: 'Table whose migration is taken back.'},
  'source-meta': {
    ...sourceFlags['source-meta'],
    description:
      "Meta servers of the cluster that the table is or was moved from; the journal's when neither this nor --from is given.",
  },
  ...namedClusterFlags,
  cluster: {
    ...targetFlags.cluster,
    description: 'Cluster that the table was to be moved to; found out when not given.',
  },
  meta: {
    ...targetFlags.meta,
    description: 'Meta servers of that cluster; found out when not given.',
  },
  root: {
    ...metaproxyFlags.root,
    description: "ZooKeeper path that metaproxy's tables are under; the journal's when not given.",
  },
  node: {
    ...metaproxyFlags.node,
    description: "ZooKeeper of metaproxy; the journal's or the source cluster's own when not given.",
  },
  adopt: Flags.boolean({
    description: 'Take back a write-deny or a duplication that no journal on this machine knows.',
    env: env('adopt'),
    helpGroup: 'WHAT TO TAKE BACK',
  }),
  'brief-deny': Flags.boolean({
    description: 'If clients write: deny writes for a short time, so that the duplication can be removed safely.',
    env: env('brief-deny'),
    helpGroup: 'WHAT TO TAKE BACK',
  }),
  'copy-is-gone': Flags.boolean({
    description: 'The copy was dropped, or its cluster is gone for good: give up what is left to ship to it.',
    env: env('copy-is-gone'),
    helpGroup: 'WHAT TO TAKE BACK',
  }),
  'drop-target': Flags.boolean({
    description:
      "Drop the target's copy, once no server can remember the duplication. You type the table's name for it.",
    helpGroup: 'WHAT TO TAKE BACK',
  }),
  'allow-data-loss': Flags.boolean({
    description: 'After the switch: go back although what was written to the target is lost. You type the name for it.',
    helpGroup: 'WHAT TO TAKE BACK',
  }),
  'max-write-deny': duration({
    default: rollbackDefaults.maxWriteDenyMs,
    defaultHelp: async () => '120s',
    description: 'Longest time that this rollback itself may deny writes (--brief-deny, or after the switch).',
    env: env('max-write-deny'),
    helpGroup: 'TIME LIMITS',
    helpValue: 'DURATION',
  }),
  limit: duration({
    default: rollbackDefaults.limitMs,
    defaultHelp: async () => '15m',
    description: 'How long to go on trying when servers or ZooKeeper cannot be reached.',
    env: env('limit'),
    helpGroup: 'TIME LIMITS',
    helpValue: 'DURATION',
  }),
  'dry-run': {
    ...runFlags['dry-run'],
    description: 'Look at everything and say what would be done. Changes nothing.',
    env: env('dry-run'),
  },
  yes: {...runFlags.yes, env: env('yes')},
  quiet: {...runFlags.quiet, env: env('quiet')},
  confirm: Flags.string({
    description: "The table's name, typed beforehand: for --drop-target and --allow-data-loss without a terminal.",
    helpGroup: 'RUN',
    helpValue: 'NAME',
  }),
}

/** What the flags come to; lists are not taken apart yet. */
export interface RollbackFlags {
  adopt: boolean
  'allow-data-loss': boolean
  'brief-deny': boolean
  cluster?: string
  'copy-is-gone': boolean
  'drop-target': boolean
  limit: number
  'max-write-deny': number
  meta?: string
  node?: string
  root?: string
  'source-meta'?: string
  table?: string
}

/**
 * @param given with what a clusters file stands for
 * @param zooKeeperAuth the value of PEGASUS_ZK_AUTH
 * @throws MigratorError `usage`
 */
export function toRollbackRequest(given: RollbackFlags, zooKeeperAuth: string | undefined): RollbackRequest {
  const flags = requireFlags(given, ['source-meta'])
  requireTogether(flags, [['meta', 'cluster']])
  if (zooKeeperAuth) parseZooKeeperAuth(zooKeeperAuth)
  const {cluster, meta, node, root} = flags
  return {
    adopt: flags.adopt,
    allowDataLoss: flags['allow-data-loss'],
    briefDeny: flags['brief-deny'],
    copyIsGone: flags['copy-is-gone'],
    dropTarget: flags['drop-target'],
    limitMs: flags.limit,
    maxWriteDenyMs: flags['max-write-deny'],
    sourceMetas: parseAddresses(flags['source-meta']),
    table: flags.table ?? '',
    ...(cluster === undefined ? {} : {targetCluster: cluster}),
    ...(meta === undefined ? {} : {targetMetas: parseAddresses(meta)}),
    ...(zooKeeperAuth ? {zooKeeperAuth} : {}),
    ...(node === undefined ? {} : {zooKeeperHosts: node}),
    ...(root === undefined ? {} : {zooKeeperRoot: parseRoot(root)}),
  }
}
