import {sleep} from '../../src/lib/clock.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {defaultLimits, migrate, type MigrationRequest} from '../../src/lib/migration/index.js'
import {
  rollback,
  rollbackDefaults,
  type RollbackEvent,
  type RollbackRequest,
  type RollbackResult,
  type RollbackWorld,
} from '../../src/lib/migration/rollback/index.js'
import type {Processes} from '../../src/lib/processes.js'
import {seededRandom} from '../sandbox/index.js'
import {MemoryNodes} from '../sandbox/memory-nodes.js'
import {type Bed, smallTable} from '../sandbox/test-bed.js'
import {MemoryFiles} from './memory-files.js'
import {MemoryLocks} from './memory-locks.js'

export const ROOT = '/metaproxy'
const DENY_ENV = 'replica.deny_client_request'

/** Nobody but this process. */
const processes: Processes = {
  isDead: async () => false,
  lives: (pid) => pid === 1,
  own: async () => ({host: 'here', pid: 1, pidSpace: '', started: '1'}),
}

/** A sandbox with table `t`, its metaproxy node and lock, and the files of one operator's machine. */
export class RollbackBed {
  readonly events: RollbackEvent[] = []
  files = new MemoryFiles()
  readonly locks: MemoryLocks
  readonly nodes = new MemoryNodes(ROOT)
  readonly asked: {effects: string[]; found: string[]; typeName?: string}[] = []

  private constructor(readonly bed: Bed) {
    this.locks = new MemoryLocks(bed.clock, this.nodes, ROOT)
  }

  static async open(bed: Bed): Promise<RollbackBed> {
    await smallTable(bed)
    const made = new RollbackBed(bed)
    made.name('source')
    return made
  }

  get source() {
    return this.bed.sandbox.source
  }

  get target() {
    return this.bed.sandbox.target
  }

  deny(side: 'source' | 'target' = 'source'): string | undefined {
    return this[side].table('t').info.envs.get(DENY_ENV)
  }

  /** Makes the node name one side. */
  name(side: 'source' | 'target'): void {
    const cluster = this[side]
    this.nodes.put(`${ROOT}/t`, formatNodeData(cluster.name, cluster.metas))
  }

  async nodeName(): Promise<string> {
    return (await this.nodes.read('t')).data.clusterName
  }

  /** As the tool that this one replaces leaves a table: denied for good, known to every server. */
  async leaveDenied(value: string): Promise<void> {
    await this.bed.client.setEnv(this.source, 't', DENY_ENV, value)
    await sleep(this.bed.clock, 31_000)
  }

  world(changes: Partial<RollbackWorld> = {}): RollbackWorld {
    return {
      clock: this.bed.clock,
      files: this.files,
      journalDirectory: '/journals',
      openLocks: () => this.locks,
      openStore: () => this.nodes,
      processes,
      random: seededRandom(5),
      transport: this.bed.sandbox.transport,
      ...changes,
    }
  }

  migrate(
    changes: Partial<MigrationRequest> = {},
    signal = new AbortController().signal,
    onEvent?: (event: {type: string}) => void,
  ) {
    const request: MigrationRequest = {
      accepted: ['metaproxy-proxies'],
      afterDrain: 'lift',
      cutoverAttempts: 1,
      denyMode: 'reconfig',
      limits: defaultLimits,
      maxWriteDenyMs: 120_000,
      metaproxy: {hosts: 'zk:2181', root: ROOT},
      proxies: [],
      sourceMetas: this.source.metas,
      table: 't',
      targetCluster: this.target.name,
      targetMetas: this.target.metas,
      thresholdMutations: 10_000,
      verify: 'none',
      verifySampleRows: 100,
      ...changes,
    }
    const hooks = {
      askMoved: async () => 'abort' as const,
      confirm: async () => true,
      emit: (event: {type: string}) => onEvent?.(event),
    }
    return migrate(request, this.world(), hooks, {dryRun: false, signal})
  }

  async rollback(
    changes: Partial<RollbackRequest> = {},
    options: {
      confirm?: boolean
      dryRun?: boolean
      onEvent?(event: RollbackEvent): void
      signal?: AbortSignal
      world?: Partial<RollbackWorld>
    } = {},
  ): Promise<RollbackResult> {
    const request: RollbackRequest = {
      adopt: false,
      allowDataLoss: false,
      briefDeny: false,
      dropTarget: false,
      ...rollbackDefaults,
      sourceMetas: this.source.metas,
      table: 't',
      ...changes,
    }
    return rollback(
      request,
      this.world(options.world),
      {
        confirm: async ({effects, found, typeName}) => {
          this.asked.push({effects, found, ...(typeName === undefined ? {} : {typeName})})
          return options.confirm ?? true
        },
        emit: (event) => {
          this.events.push(event)
          options.onEvent?.(event)
        },
      },
      {dryRun: options.dryRun ?? false, signal: options.signal ?? new AbortController().signal},
    )
  }
}
