import {DuplicationStatus} from '../rpc/structs/duplication.js'

/** Which cluster an effect touches. */
export type Side = 'source' | 'target'

/**
 * Everything that a migration may change anywhere, and what was there before. Nothing else in `migration` changes
 * a cluster or ZooKeeper: the dry run is the recording twin of this interface, the journal wraps it, and tests
 * enumerate `effectKinds`.
 */
export type Effect =
  | {appId: number; kind: 'trigger-checkpoint'; server: string}
  | {before: string; kind: 'set-server-config'; name: string; server: string; side: Side; value: string}
  | {before: string; kind: 'set-meta-level'; level: string; side: Side}
  | {before: string | null; kind: 'deny'; value: string}
  | {before: string | null; kind: 'lift-deny'}
  | {appId: number; kind: 'drop-target-table'; reserveSeconds: number}
  | {before: string | null; kind: 'close-source'; value: string}
  | {before: string | null; kind: 'close-target'; value: string}
  | {before: string | null; kind: 'deny-target'; value: string}
  | {before: string | null; kind: 'lift-target'}
  | {before: string | null; kind: 'open-source-reads'; value: string}
  | {before: Record<string, string>; keys: string[]; kind: 'delete-target-envs'}
  | {beforeVersion: number; bytes: string; before: string; kind: 'switch-node'; path: string}
  | {beforeVersion: number; bytes: string; before: string; kind: 'switch-node-back'; path: string}
  | {beforeVersion: number; bytes: string; kind: 'take-commit-away'; path: string}
  | {dupid: number; kind: 'pause-duplication'}
  | {dupid: number; kind: 'remove-duplication'}
  | {dupid: number; kind: 'resume-duplication'}
  | {kind: 'add-duplication'; remoteCluster: string}

export type EffectKind = Effect['kind']

export const effectKinds = [
  'add-duplication',
  'close-source',
  'close-target',
  'delete-target-envs',
  'deny',
  'deny-target',
  'drop-target-table',
  'lift-deny',
  'lift-target',
  'open-source-reads',
  'pause-duplication',
  'remove-duplication',
  'resume-duplication',
  'set-meta-level',
  'set-server-config',
  'switch-node',
  'switch-node-back',
  'take-commit-away',
  'trigger-checkpoint',
] as const satisfies readonly EffectKind[]

/** What an effect gives back: the dupid of a new duplication, the new version of the node. */
export interface EffectOutcome {
  dupid?: number
  nodeVersion?: number
}

export interface Effects {
  /**
   * Carries out one effect, or records it.
   * @throws MigratorError what the cluster or ZooKeeper answered; after an answer that was lost (`rpc.timeout`, `rpc.connection_lost`,
   *   `zk.outcome_unknown`) nobody can tell whether it took place, and only a look, or doing it again, helps
   */
  perform(effect: Effect, signal: AbortSignal): Promise<EffectOutcome>
}

/** One sentence for a person: what the effect changes. `table` is the table's name. */
export function describeEffect(effect: Effect, table: string): string {
  switch (effect.kind) {
    case 'add-duplication': {
      return `add a duplication of ${table} to cluster ${effect.remoteCluster}, with a checkpoint of its data`
    }

    case 'close-source': {
      return `set replica.deny_client_request=${effect.value} on the source's ${table}, so that remaining clients go away`
    }

    case 'close-target': {
      return `set replica.deny_client_request=${effect.value} on the target's ${table}, so that remaining clients go away`
    }

    case 'delete-target-envs': {
      return `delete ${effect.keys.join(', ')} from the target's ${table}`
    }

    case 'deny': {
      return `set replica.deny_client_request=${effect.value} on the source's ${table}: writes are denied from here on`
    }

    case 'deny-target': {
      return `set replica.deny_client_request=${effect.value} on the target's ${table}: writes are denied on both sides from here on`
    }

    case 'drop-target-table': {
      return `drop ${table} (table id ${effect.appId}) on the target; it can be recalled for ${Math.round(effect.reserveSeconds / 86_400)} days`
    }

    case 'lift-deny': {
      return `delete replica.deny_client_request from the source's ${table}: writes are allowed again`
    }

    case 'lift-target': {
      return `delete replica.deny_client_request from the target's ${table}: writes are allowed there again`
    }

    case 'open-source-reads': {
      return `set replica.deny_client_request=${effect.value} on the source's ${table}: its rows can be read, not written`
    }

    case 'pause-duplication': {
      return `pause duplication ${effect.dupid || '(the new one)'} (${DuplicationStatus[DuplicationStatus.DS_PAUSE]}), so that nothing ships after the switch`
    }

    case 'remove-duplication': {
      return `remove duplication ${effect.dupid || '(the new one)'}`
    }

    case 'resume-duplication': {
      return `let duplication ${effect.dupid} ship again (${DuplicationStatus[DuplicationStatus.DS_LOG]})`
    }

    case 'set-meta-level': {
      return `set the meta level of the ${effect.side} cluster to ${effect.level} (was ${effect.before})`
    }

    case 'set-server-config': {
      return `set ${effect.name}=${effect.value} on ${effect.side} server ${effect.server} (was ${effect.before})`
    }

    case 'switch-node':
    case 'switch-node-back': {
      return `write ${effect.bytes} to ZooKeeper node ${effect.path} at version ${effect.beforeVersion} (compare-and-set)`
    }

    case 'take-commit-away': {
      return `write the same bytes to ZooKeeper node ${effect.path} at version ${effect.beforeVersion}, so that a switch still under way must fail`
    }

    case 'trigger-checkpoint': {
      return `trigger a checkpoint of table id ${effect.appId} on source server ${effect.server}`
    }
  }
}
