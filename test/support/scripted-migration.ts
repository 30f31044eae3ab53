import {formatNodeData, parseNodeData} from '../../src/lib/metaproxy/node-data.js'
import type {NodeRecord} from '../../src/lib/metaproxy/store.js'
import {freshState, type MigrationContext} from '../../src/lib/migration/context.js'
import type {Effect, EffectOutcome} from '../../src/lib/migration/effects.js'
import type {Progress, UnstampedEvent} from '../../src/lib/migration/events.js'
import type {NewRecord} from '../../src/lib/migration/journal.js'
import {defaultLimits, type MigrationRequest} from '../../src/lib/migration/request.js'
import {MigratorError} from '../../src/lib/errors.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {StorageStatus} from '../../src/lib/rpc/structs/rrdb.js'
import {VirtualClock} from '../sandbox/virtual-clock.js'

export const DENY = 'replica.deny_client_request'
export const DUPID = 7
export const [FIRST, SECOND] = ['10.0.0.1:34801', '10.0.0.2:34801']

/** What a primary does with clients. */
export type Answers = 'closed' | 'open' | 'refusing' | 'silent'

/** One side as its metas and servers tell it; all of it may be changed at any time. */
export class ScriptedSide {
  answers: Answers[] = ['open', 'open']
  appId = 2
  ballots = [3, 3]
  /** By setting, what every server has. */
  readonly config = new Map<string, string>()
  dupid = DUPID
  envs = new Map<string, string>()
  primaries: (null | string)[] = [FIRST, SECOND]
  remote = 'b'
  /** Undefined: no duplication. */
  status: DuplicationStatus | undefined

  get configuration() {
    const {appId, ballots} = this
    const partitions = this.primaries.map((primary, partitionIndex) => ({
      ballot: ballots[partitionIndex]!,
      pid: {appId, partitionIndex},
      primary,
      secondaries: [],
    }))
    return {appId, partitionCount: partitions.length, partitions}
  }
}

/**
 * The context of a migration of `users` to cluster `b`, without servers: every answer is scripted, and time is virtual. For what one
 * function decides; whole migrations are for the simulation.
 */
export class ScriptedMigration {
  readonly abort = new AbortController()
  readonly clock = new VirtualClock()
  readonly events: UnstampedEvent[] = []
  readonly forward = new AbortController()
  /** Called before a question is answered; throws what the answer is instead. `side question`, e.g. `source table`. */
  onAsk: (question: string) => Promise<void> | void = () => {}
  /** Called before an effect takes place. */
  onEffect: (effect: Effect) => Promise<void> | void = () => {}
  readonly asked: string[] = []
  node: NodeRecord = {
    bytes: formatNodeData('a', ['10.0.0.9:34601']),
    data: {clusterName: 'a', metaAddresses: ['10.0.0.9:34601']},
    path: '/pegasus-metaproxy/users',
    version: 4,
  }

  readonly performed: Effect[] = []
  readonly records: NewRecord[] = []
  readonly reports: Progress[] = []
  readonly report = (progress: Progress) => {
    this.reports.push(progress)
  }

  readonly source = new ScriptedSide()
  readonly state = freshState()
  readonly target = new ScriptedSide()

  constructor(request: Partial<MigrationRequest> = {}, more: Partial<MigrationContext> = {}) {
    this.state.dupid = DUPID
    this.target.appId = 5
    this.target.primaries = ['10.0.1.1:34801', '10.0.1.2:34801']
    this.context = {
      askMoved: async () => 'moved',
      client: {gate: {}, pool: {call: this.call}} as never,
      clock: this.clock,
      dryRun: false,
      effects: {perform: (effect) => this.perform(effect)},
      emit: (event) => {
        this.events.push(event)
      },
      forward: this.forward.signal,
      hints: {settings: []},
      journal: {
        write: async (record: NewRecord) => {
          await this.onAsk(`journal ${record.kind}`)
          this.records.push(record)
        },
      } as never,
      random: () => 0.5,
      request: {
        accepted: [],
        afterDrain: 'ask',
        denyMode: 'reconfig',
        limits: defaultLimits,
        maxWriteDenyMs: 120_000,
        metaproxy: {hosts: 'zookeeper:2181', root: '/pegasus-metaproxy'},
        proxies: [],
        sourceMetas: ['10.0.0.9:34601'],
        table: 'users',
        targetCluster: 'b',
        targetMetas: ['10.0.1.9:34601'],
        thresholdMutations: 10_000,
        verify: 'sample',
        verifySampleRows: 50,
        ...request,
      },
      signal: this.abort.signal,
      source: this.clusterOf('source'),
      state: this.state,
      store: {
        async close() {},
        compareAndSet: () => Promise.reject(new Error('only effects write')),
        keepSession() {},
        read: async (table: string, signal?: AbortSignal) => {
          await this.question(`node ${table}`, signal)
          return this.node
        },
      },
      target: this.clusterOf('target'),
      ...more,
    }
  }

  readonly context: MigrationContext

  get kinds(): string[] {
    return this.performed.map(({kind}) => kind)
  }

  /** Codes of warnings and types of everything else that was told. */
  get told(): string[] {
    return this.events.map((event) => (event.type === 'warning' ? event.code : event.type))
  }

  /** What was told in words, in order. */
  get words(): string[] {
    return this.events.flatMap((event) =>
      event.type === 'warning' ? [event.message] : 'sentence' in event ? [event.sentence] : [],
    )
  }

  run<T>(promise: Promise<T>, limitMs?: number): Promise<T> {
    return this.clock.run(promise, limitMs)
  }

  /** The node is written by somebody. */
  writeNode(clusterName: string, version = this.node.version + 1): void {
    const bytes = formatNodeData(clusterName, ['10.0.0.9:34601'])
    this.node = {...this.node, bytes, data: parseNodeData(bytes), version}
  }

  /** An error that ends when its question is asked for the `times` + 1st time. */
  failing(question: string, times: number, error: Error): void {
    const before = this.onAsk
    let left = times
    this.onAsk = async (asked) => {
      await before(asked)
      if (asked === question && left-- > 0) throw error
    }
  }

  private async question(question: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    this.asked.push(question)
    const answer = Promise.resolve(this.onAsk(question))
    if (!signal) return answer
    let onAbort = () => {}
    const aborted = new Promise<void>((_, reject) => {
      onAbort = () => reject(signal.reason)
      signal.addEventListener('abort', onAbort, {once: true})
    })
    await Promise.race([answer, aborted]).finally(() => signal.removeEventListener('abort', onAbort))
  }

  private clusterOf(name: 'source' | 'target'): MigrationContext['source'] {
    const side = this[name]
    const ask = (question: string, limits?: {signal?: AbortSignal}) =>
      this.question(`${name} ${question}`, limits?.signal)
    return {
      async configuration(_table: string, limits?: {signal?: AbortSignal}) {
        await ask('configuration', limits)
        return side.configuration
      },
      async duplications(_table: string, limits?: {signal?: AbortSignal}) {
        await ask('duplications', limits)
        if (side.status === undefined) return []
        return [{createTsMs: 0, dupid: side.dupid, remote: side.remote, status: side.status}]
      },
      async metaLevel(limits?: {signal?: AbortSignal}) {
        await ask('metaLevel', limits)
        return 400
      },
      async nodes(limits?: {signal?: AbortSignal}) {
        await ask('nodes', limits)
        return side.primaries.map((address) => ({address, alive: true}))
      },
      server: (address: string) => ({
        address,
        async config(key: string, limits?: {signal?: AbortSignal}) {
          await ask(`config ${address} ${key}`, limits)
          return side.config.get(key)
        },
      }),
      async table(_table: string, limits?: {signal?: AbortSignal}) {
        await ask('table', limits)
        return {appId: side.appId, envs: side.envs}
      },
    } as never
  }

  /** A probe of a primary: a write that must fail its check, or a read of what is not there. */
  private readonly call = async (
    address: string,
    {name}: {name: string},
    _request: unknown,
    {signal, timeoutMs}: {signal?: AbortSignal; timeoutMs: number},
  ) => {
    const side = this.source.primaries.includes(address) ? this.source : this.target
    const isWrite = name.includes('CHECK_AND_SET')
    await this.question(`${isWrite ? 'write' : 'read'} ${address}`, signal)
    const answers = side.answers[side.primaries.indexOf(address)]
    if (isWrite && answers === 'silent') {
      await new Promise((resolve) => {
        this.clock.setTimer(timeoutMs, () => resolve(undefined))
      })
      throw new MigratorError('rpc.timeout', `${address} did not answer`)
    }

    if (answers === 'closed' || (isWrite && answers === 'refusing')) {
      throw new MigratorError('rpc.server_error', 'refused', {facts: {error: 'ERR_INVALID_STATE'}})
    }

    return {error: isWrite ? StorageStatus.tryAgain : StorageStatus.notFound}
  }

  /** What an effect changes in the script. */
  private async perform(effect: Effect): Promise<EffectOutcome> {
    await this.onEffect(effect)
    this.performed.push(effect)
    const {source, target} = this
    switch (effect.kind) {
      case 'add-duplication': {
        source.status = DuplicationStatus.DS_LOG
        return {dupid: source.dupid}
      }

      case 'close-source':
      case 'deny': {
        source.envs.set(DENY, effect.value)
        const [way] = effect.value.split('*')
        const answers = effect.kind === 'close-source' ? 'closed' : way === 'timeout' ? 'silent' : 'refusing'
        source.answers = source.answers.map(() => answers)
        return {}
      }

      case 'delete-target-envs': {
        for (const key of effect.keys) target.envs.delete(key)
        return {}
      }

      case 'lift-deny': {
        source.envs.delete(DENY)
        source.answers = source.answers.map(() => 'open')
        return {}
      }

      case 'pause-duplication': {
        source.status = DuplicationStatus.DS_PAUSE
        return {}
      }

      case 'remove-duplication': {
        source.status = undefined
        return {}
      }

      case 'resume-duplication': {
        source.status = DuplicationStatus.DS_LOG
        return {}
      }

      case 'switch-node':
      case 'take-commit-away': {
        if (effect.beforeVersion !== this.node.version) {
          throw new MigratorError('zk.version_conflict', 'somebody else wrote')
        }

        const bytes = Buffer.from(effect.bytes)
        this.node = {...this.node, bytes, data: parseNodeData(bytes), version: this.node.version + 1}
        return {nodeVersion: this.node.version}
      }

      default: {
        return {}
      }
    }
  }
}
