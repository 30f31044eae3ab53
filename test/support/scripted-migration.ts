import {formatNodeData, parseNodeData} from '../../src/lib/metaproxy/node-data.js'
import type {NodeRecord} from '../../src/lib/metaproxy/store.js'
import type {Generation} from '../../src/lib/migration/preflight/check.js'
import {freshState, type MigrationContext} from '../../src/lib/migration/context.js'
import type {Effect, EffectOutcome} from '../../src/lib/migration/effects.js'
import type {Progress, UnstampedEvent} from '../../src/lib/migration/events.js'
import type {NewRecord} from '../../src/lib/migration/journal.js'
import {defaultLimits, type MigrationRequest} from '../../src/lib/migration/request.js'
import {MigratorError} from '../../src/lib/errors.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import type {MetricEntity} from '../../src/lib/pegasus/server-text.js'
import {PartitionStatus} from '../../src/lib/rpc/structs/replica.js'
import {StorageStatus} from '../../src/lib/rpc/structs/rrdb.js'
import type {AppStatus} from '../../src/lib/rpc/structs/table.js'
import {VirtualClock} from '../sandbox/virtual-clock.js'

export const DENY = 'replica.deny_client_request'
export const DUPID = 7
export const [FIRST, SECOND] = ['10.0.0.1:34801', '10.0.0.2:34801']

const PRIMARY = PartitionStatus.PS_PRIMARY

/** What a primary does with clients. */
/** `deaf`: silent, and reads are refused; `unread`: only reads are refused. */
export type Answers = 'closed' | 'deaf' | 'open' | 'refusing' | 'silent' | 'unread'

/** What one partition's primary tells; the second partition has 100 decrees more. */
export interface ScriptedPartition {
  committed: number
  /** Of its checkpoint; 0: there is none. */
  durable?: number
  /** Mutations that are not on the other side. */
  gap: number
  prepared: number
}

/** One side as its metas and servers tell it; all of it may be changed at any time. */
export class ScriptedSide {
  /** Servers that the metas take for dead. */
  readonly dead = new Set<string>()
  answers: Answers[] = ['open', 'open']
  appId = 2
  ballots = [3, 3]
  /** What every server has, by setting; or one server, by `address setting`. */
  readonly config = new Map<string, string>([['duplicate_log_batch_bytes', '0']])
  /** What their files say where it is something else. */
  readonly configured = new Map<string, string>()
  counters = new Map<string, number>()
  createTsMs = 0
  duplicating = true
  dupid = DUPID
  /** What else the metas tell of the duplication. */
  entry: object = {}
  envs = new Map<string, string>()
  failMode = 'FAIL_SLOW'
  generation: Generation = '2.5'
  isThere = true
  /** Duplications to other clusters. */
  others: {dupid: number; remote: string}[] = []
  metaLevel = 400
  /** Of each server, as master tells them. */
  metrics: MetricEntity[] | undefined
  /** Of other tables, on each server. */
  otherReplicas: {appId: number; durable: number; partitionIndex: number}[] = []
  partitions: ScriptedPartition[] = [
    {committed: 100, gap: 0, prepared: 100},
    {committed: 200, gap: 0, prepared: 200},
  ]

  primaries: (null | string)[] = [FIRST, SECOND]
  remote = 'b'
  secondaries: string[][] = []
  /** Undefined: no duplication. */
  status: DuplicationStatus | undefined
  /** Of other tables too. */
  tables: {appId: number; appName: string; status: AppStatus}[] = []

  get configuration() {
    const {appId, ballots} = this
    const partitions = this.primaries.map((primary, partitionIndex) => ({
      ballot: ballots[partitionIndex]!,
      pid: {appId, partitionIndex},
      primary,
      secondaries: this.secondaries[partitionIndex] ?? [],
    }))
    return {appId, partitionCount: partitions.length, partitions}
  }

  /** Of the partitions whose primary a server is. */
  on(address: string): number[] {
    return this.primaries.flatMap((primary, index) => (primary === address ? [index] : []))
  }
}

/**
 * The context of a migration of `users` to cluster `b`, without servers: every answer is scripted, and time is virtual. For what one
 * function decides; whole migrations are for the simulation.
 */
export class ScriptedMigration {
  readonly abort = new AbortController()
  readonly clock: VirtualClock
  readonly events: UnstampedEvent[] = []
  readonly forward = new AbortController()
  /** Called before a question is answered; throws what the answer is instead. `side question`, e.g. `source table`. */
  onAsk: (question: string) => Promise<void> | void = () => {}
  /** Called before an effect takes place. */
  onEffect: (effect: Effect) => Promise<void> | void = () => {}
  /** Called when it has. */
  afterEffect: (effect: Effect) => void = () => {}
  readonly asked: string[] = []
  node: NodeRecord = {
    bytes: formatNodeData('a', ['10.0.0.9:34601']),
    data: {clusterName: 'a', metaAddresses: ['10.0.0.9:34601']},
    path: '/pegasus-metaproxy/users',
    version: 4,
  }

  readonly performed: Effect[] = []
  /** Which side each metaproxy names, or what it answers instead. */
  readonly proxies = new Map<string, 'source' | 'target' | Error | object>()
  readonly records: NewRecord[] = []
  readonly reports: Progress[] = []
  readonly report = (progress: Progress) => {
    this.reports.push(progress)
  }

  /** Whether one session with ZooKeeper is to stay open. */
  sessionKept: boolean | undefined
  readonly source = new ScriptedSide()
  readonly state = freshState()
  readonly target = new ScriptedSide()

  constructor(request: Partial<MigrationRequest> = {}, more: Partial<MigrationContext> = {}) {
    this.clock = (more.clock as VirtualClock | undefined) ?? new VirtualClock()
    this.state.dupid = DUPID
    this.target.appId = 5
    this.target.primaries = ['10.0.1.1:34801', '10.0.1.2:34801']
    this.state.facts = {
      metaproxy: {node: this.node},
      source: this.factsOf('source'),
      target: this.factsOf('target'),
    } as never
    this.state.timers = {configSyncMs: 30_000, groupCheckMs: 10_000}
    this.context = {
      askMoved: async () => 'moved',
      client: {
        gate: {pass: (_address: string, _signal: AbortSignal, ask: () => unknown) => ask()},
        pool: {call: this.call},
      } as never,
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
        fastCutover: 'off',
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
        keepSession: (wanted) => {
          this.sessionKept = wanted
        },
        compareAndSet: () => Promise.reject(new Error('only effects write')),
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

  /** An hour is more than any of these tests takes; what comes to no end fails soon. */
  run<T>(promise: Promise<T>, limitMs = 3_600_000): Promise<T> {
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
        const {createTsMs, dupid, remote, status} = side
        const others = side.others.map((other) => ({createTsMs, status: DuplicationStatus.DS_LOG, ...other}))
        return status === undefined ? others : [{createTsMs, dupid, remote, status, ...side.entry}, ...others]
      },
      async info(limits?: {signal?: AbortSignal}) {
        await ask('info', limits)
        return {clusterName: name === 'source' ? 'a' : 'b'}
      },
      async metaLevel(limits?: {signal?: AbortSignal}) {
        await ask('metaLevel', limits)
        return side.metaLevel
      },
      async nodes(limits?: {signal?: AbortSignal}) {
        await ask('nodes', limits)
        return side.primaries.map((address) => ({address, alive: !side.dead.has(address!)}))
      },
      server: (address: string) => ({
        address,
        async config(key: string, limits?: {signal?: AbortSignal}) {
          await ask(`config ${address} ${key}`, limits)
          return side.config.get(`${address} ${key}`) ?? side.config.get(key)
        },
        async configDump(limits?: {signal?: AbortSignal}) {
          await ask(`dump ${address}`, limits)
          const get = (_section: string, key: string) =>
            side.configured.get(key) ?? side.config.get(`${address} ${key}`) ?? side.config.get(key)
          return {get}
        },
        async counters(substring: string, limits?: {signal?: AbortSignal}) {
          await ask(`counters ${address}`, limits)
          return new Map([...side.counters].filter(([name]) => name.includes(substring)))
        },
        async metrics(appId: number, names: string[], limits?: {signal?: AbortSignal}) {
          await ask(`metrics ${address} ${appId} ${names.join()}`, limits)
          return side.metrics
        },
        async duplicationStates(_appId: number, limits?: {signal?: AbortSignal}) {
          await ask(`states ${address}`, limits)
          const {dupid, duplicating, failMode, status} = side
          const indices = status === undefined ? [] : side.on(address)
          return {
            states: indices.map((partitionIndex) => {
              const {gap} = side.partitions[partitionIndex]!
              const figures = {notConfirmedMutations: gap, notDuplicatedMutations: gap}
              return {duplicating, dupid, failMode, ...figures, partitionIndex}
            }),
          }
        },
        async progress(_appId: number, limits?: {signal?: AbortSignal}) {
          await ask(`progress ${address}`, limits)
          return side.on(address).map((partitionIndex) => {
            const {committed, gap, prepared} = side.partitions[partitionIndex]!
            const shippedDecree = committed - gap
            const duplications = [
              {confirmedDecree: shippedDecree, dupid: side.dupid, remoteClusterName: 'b', shippedDecree},
            ]
            const decrees = {lastAppliedDecree: committed, lastCommittedDecree: committed, maxPreparedDecree: prepared}
            return {appId: side.appId, ...decrees, duplications, isPrimary: true, partitionIndex}
          })
        },
        async replicas(limits?: {signal?: AbortSignal}) {
          await ask(`replicas ${address}`, limits)
          const own = side.on(address).map((partitionIndex) => {
            const {committed, durable = 0, prepared} = side.partitions[partitionIndex]!
            const decrees = {lastCommittedDecree: committed, lastDurableDecree: durable, lastPreparedDecree: prepared}
            const pid = {appId: side.appId, partitionIndex}
            return {appType: 'pegasus', ballot: side.ballots[partitionIndex], ...decrees, pid, status: PRIMARY}
          })
          const others = side.otherReplicas.map(({appId, durable, partitionIndex}) => ({
            appType: 'pegasus',
            ballot: 3,
            lastCommittedDecree: durable,
            lastDurableDecree: durable,
            lastPreparedDecree: durable,
            pid: {appId, partitionIndex},
            status: PRIMARY,
          }))
          return [...own, ...others]
        },
        async startTime(limits?: {signal?: AbortSignal}) {
          await ask(`startTime ${address}`, limits)
          return 'today'
        },
      }),
      async table(_table: string, limits?: {signal?: AbortSignal}) {
        await ask('table', limits)
        return side.isThere ? {appId: side.appId, envs: side.envs} : undefined
      },
      async tables(limits?: {signal?: AbortSignal}) {
        await ask('tables', limits)
        return side.tables
      },
    } as never
  }

  private factsOf(name: 'source' | 'target') {
    const side = this[name]
    return {
      get configuration() {
        return side.configuration
      },
      duplications: [],
      get generation() {
        return side.generation
      },
      info: {clusterName: name === 'source' ? 'a' : 'b', metaServers: []},
      metas: [],
      servers: [],
      table: side,
    }
  }

  /** A probe of a primary: a write that must fail its check, or a read of what is not there. */
  private readonly call = async (
    address: string,
    {name}: {name: string},
    _request: unknown,
    {signal, timeoutMs}: {signal?: AbortSignal; timeoutMs: number},
  ) => {
    if (name.includes('QUERY_PARTITION_CONFIG')) return this.askProxy(address, signal)
    const side = this.source.primaries.includes(address) ? this.source : this.target
    const isWrite = name.includes('CHECK_AND_SET')
    await this.question(`${isWrite ? 'write' : 'read'} ${address}`, signal)
    const answers = side.answers[side.primaries.indexOf(address)]
    if (isWrite && (answers === 'deaf' || answers === 'silent')) {
      await new Promise((resolve) => {
        this.clock.setTimer(timeoutMs, () => resolve(undefined))
      })
      throw new MigratorError('rpc.timeout', `${address} did not answer`)
    }

    const refusesReads = answers === 'deaf' || answers === 'unread'
    if (answers === 'closed' || (!isWrite && refusesReads) || (isWrite && answers === 'refusing')) {
      throw new MigratorError('rpc.server_error', 'refused', {facts: {error: 'ERR_INVALID_STATE'}})
    }

    return {error: isWrite ? StorageStatus.tryAgain : StorageStatus.notFound}
  }

  /** What a metaproxy answers that names these servers. */
  answerOf(appId: number, primaries: readonly (null | string)[]): object {
    const partitions = primaries.map((primary, partitionIndex) => ({ballot: 3, pid: {appId, partitionIndex}, primary}))
    return {appId, partitionCount: partitions.length, partitions}
  }

  private async askProxy(address: string, signal?: AbortSignal) {
    await this.question(`proxy ${address}`, signal)
    const names = this.proxies.get(address) ?? new MigratorError('rpc.connect', `no connection to ${address}`)
    if (names instanceof Error) throw names
    return {err: 'ERR_OK', ...(typeof names === 'string' ? this[names].configuration : names)}
  }

  private async perform(effect: Effect): Promise<EffectOutcome> {
    await this.onEffect(effect)
    this.performed.push(effect)
    const outcome = this.apply(effect)
    this.afterEffect(effect)
    return outcome
  }

  /** What an effect changes in the script. */
  private apply(effect: Effect): EffectOutcome {
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
