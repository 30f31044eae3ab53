import type {MigrationRequest} from '../migration/request.js'
import {type limitFlags, toLimits} from './flags.js'
import {type HookFlags, toHooks} from './hook-flags.js'
import {type HoldFlags, toHold} from './hold-flags.js'
import {requireFlags, requireTogether, usage} from './named-clusters.js'
import {checkZooKeeperAuth, parseAddresses, parseCheckIds, parseRoot} from './parse.js'

/** What the flags of `table:migrate` come to. Lists are not taken apart yet. */
export type MigrateFlags = {
  accept?: string | string[]
  'after-drain': MigrationRequest['afterDrain']
  cluster?: string
  'cutover-attempts'?: number
  'deny-mode': MigrationRequest['denyMode']
  'fast-cutover'?: boolean
  'max-rows-per-second'?: number
  'max-write-deny': number
  meta?: string
  node?: string
  proxy?: string | string[]
  root?: string
  'source-meta'?: string
  table: string
  threshold: number
  verify: MigrationRequest['verify']
  'verify-rows': number
} & HoldFlags &
  HookFlags & {[K in keyof typeof limitFlags]?: number}

/** A flag that may be given several times is one string when it comes from the environment. */
const several = (value: string | string[] | undefined): string[] => [value ?? []].flat()

/**
 * @param given with what a clusters file stands for
 * @param zooKeeperAuth the value of PEGASUS_ZK_AUTH
 * @throws MigratorError `usage`
 */
export function toRequest(given: MigrateFlags, zooKeeperAuth: string | undefined): MigrationRequest {
  const flags = requireFlags(given, ['source-meta', 'cluster', 'meta'])
  requireTogether(flags, [
    ['node', 'root'],
    ['proxy', 'root'],
  ])
  if (flags.root !== undefined && flags['after-drain'] !== 'ask')
    throw usage('--after-drain is for migrations without --root: with it the node is switched')
  const auth = zooKeeperAuth ? checkZooKeeperAuth(zooKeeperAuth) : undefined
  return {
    accepted: several(flags.accept).flatMap((ids) => parseCheckIds(ids)),
    afterDrain: flags['after-drain'],
    cutoverAttempts: flags['cutover-attempts'] ?? 3,
    denyMode: flags['deny-mode'],
    fastCutover: fastCutoverOf(flags['fast-cutover']),
    ...toHold(flags),
    ...toHooks(flags),
    limits: toLimits(flags),
    maxWriteDenyMs: flags['max-write-deny'],
    ...(flags.root === undefined ? {} : {metaproxy: {auth, hosts: flags.node ?? '', root: parseRoot(flags.root)}}),
    proxies: [...new Set(several(flags.proxy).flatMap((list) => parseAddresses(list)))],
    sourceMetas: parseAddresses(flags['source-meta']),
    table: flags.table,
    targetCluster: flags.cluster,
    targetMetas: parseAddresses(flags.meta),
    thresholdMutations: flags.threshold,
    verify: flags.verify,
    ...(flags['max-rows-per-second'] === undefined ? {} : {verifyRowsPerSecond: flags['max-rows-per-second']}),
    verifySampleRows: flags['verify-rows'],
  }
}

function fastCutoverOf(flag: boolean | undefined): MigrationRequest['fastCutover'] {
  if (flag === undefined) return 'auto'
  return flag ? 'on' : 'off'
}
