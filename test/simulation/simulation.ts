import {sleep} from '../../src/lib/clock.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {ZooKeeperLocks} from '../../src/lib/metaproxy/zookeeper-lock.js'
import {ZooKeeperStore} from '../../src/lib/metaproxy/zookeeper-store.js'
import {GuardChannel} from '../../src/lib/migration/guard/channel.js'
import type {GuardEnd} from '../../src/lib/migration/guard/guard.js'
import {startGuard} from '../../src/lib/migration/guard/handle.js'
import {runGuard} from '../../src/lib/migration/guard/run.js'
import type {Effects} from '../../src/lib/migration/effects.js'
import type {OperatorHooks} from '../../src/lib/migration/operator-hooks/moments.js'
import {
  defaultLimits,
  type DenyMode,
  migrate,
  type MigrationEvent,
  type MigrationRequest,
  type MigrationResult,
  type MigrationWorld,
} from '../../src/lib/migration/index.js'
import {
  rollback,
  rollbackDefaults,
  type RollbackEvent,
  type RollbackRequest,
  type RollbackResult,
} from '../../src/lib/migration/rollback/index.js'
import type {Transport} from '../../src/lib/rpc/transport.js'
import {readStatus, type StatusQuery, type TableStatus} from '../../src/lib/migration/status/index.js'
import {
  type ClusterOverrides,
  type Profile,
  type Sandbox,
  seededRandom,
  type SimulatedCluster,
  startSandbox,
  VirtualClock,
} from '../sandbox/index.js'
import {LoadClient, type LoadOptions} from '../sandbox/load-client.js'
import {SimulatedMetaproxy} from '../sandbox/metaproxy.js'
import {memoryNetwork, type SandboxNetwork} from '../sandbox/network.js'
import {quickTimers} from '../sandbox/quick-timers.js'
import {type ClockSkew, type Life, Machine, skewed} from './life.js'
import {MemoryDisk} from './memory-disk.js'
import {type SessionFault, sessionsOf} from './model-session.js'
import {Watch} from './watch.js'
import {ZooKeeperModel} from './zookeeper-model.js'

export interface SimulationOptions {
  /** Between two questions to a server that is asked calmly; default: the tool's own. */
  calmMs?: number
  denyMode?: DenyMode
  /** Default true: every cutover has a guard. */
  guard?: boolean
  /** Default: a small one; `false`: nobody writes. */
  load?: false | Partial<LoadOptions>
  /** Default: one that loses and delays nothing. `transportOf`: how a machine reaches it. */
  network?(clock: VirtualClock): SandboxNetwork & {transportOf?(machine: string): Transport}
  overrides?: {source?: ClusterOverrides; target?: ClusterOverrides}
  partitionCount?: number
  profile?: Profile
  /** The timers as measured; default: shorter ones. */
  realTimers?: boolean
  /** Whether there is a metaproxy node (`-r`); default true. */
  root?: boolean
  /** Rows that are there from the beginning. */
  rows?: number
  seed?: number
  servers?: number
  /** By machine. */
  skews?: Record<string, ClockSkew>
}

/** The bound of every migration here. */
export const MAX_WRITE_DENY_MS = 120_000
export const TABLE = 'users'
export const ROOT = '/pegasus-metaproxy'
export const NODE = `${ROOT}/${TABLE}`
const DIRECTORY = '/journals'
const LIMIT_MS = 3 * 3_600_000

/** A command under way, or ended. */
export interface Driver<R> {
  events: (MigrationEvent | RollbackEvent)[]
  life: Life
  /** Resolves when it ends by itself; never once it was killed. */
  result: Promise<R>
  /** Aborts as the first Ctrl-C does. */
  signal: AbortController
}

export interface DriveOptions {
  /** The operator's answer after the drain, without a node; default: moved. */
  askMoved?: 'abort' | 'moved'
  /** Default: the machine `here`. */
  machine?: Machine
  onEvent?(event: MigrationEvent | RollbackEvent, life: Life): void
  /** What is asked about before anything is changed. */
  onPlan?(effects: readonly string[]): void
  /** Operators' executables; nothing of them runs outside of this process. */
  operatorHooks?: OperatorHooks
  wrapEffects?(live: Effects, life: Life): Effects
}

/** Everything there is (clusters, ZooKeeper, metaproxy, application, operator's machines) in one process, on virtual time. */
export class Simulation {
  readonly clock = new VirtualClock()
  readonly disks = new Map<Machine, MemoryDisk>()
  /** How each guard ended that ended by itself. */
  readonly guards: {end?: GuardEnd; error?: unknown; life: Life}[] = []
  readonly here: Machine
  /** Whether nobody writes (any more). */
  isQuiet = false
  load!: LoadClient | undefined
  proxy!: SimulatedMetaproxy
  sandbox!: Sandbox
  /** Hears of each session with ZooKeeper that a process opens. */
  onSession: ((life: Life) => void) | undefined
  sessionFault: ((operation: string, life: Life) => SessionFault) | undefined
  readonly watch: Watch
  readonly zookeeper: ZooKeeperModel
  /** Wraps what carries a guard's effects out. */
  wrapGuardEffects: ((live: Effects, life: Life) => Effects) | undefined
  private readonly others: LoadClient[] = []
  private readonly network: ReturnType<NonNullable<SimulationOptions['network']>>
  private readonly random: () => number
  /** Whom the application asks without a metaproxy; changed by the operator. */
  private readonly route = {metas: [] as string[]}

  private constructor(readonly options: SimulationOptions) {
    this.random = seededRandom(options.seed ?? 1)
    this.network = options.network?.(this.clock) ?? memoryNetwork()
    this.zookeeper = new ZooKeeperModel(this.clock)
    this.watch = new Watch(this.clock)
    this.here = this.machine('here')
  }

  static async open(options: SimulationOptions): Promise<Simulation> {
    const simulation = new Simulation(options)
    await simulation.start()
    return simulation
  }

  get source(): SimulatedCluster {
    return this.sandbox.source
  }

  get target(): SimulatedCluster {
    return this.sandbox.target
  }

  get hasRoot(): boolean {
    return this.options.root ?? true
  }

  machine(name: string): Machine {
    const skew = this.options.skews?.[name]
    const clock = skew ? skewed(this.clock, skew) : this.clock
    const transport = this.network.transportOf?.(name) ?? this.network.transport
    const machine = new Machine(name, {clock, transport})
    this.disks.set(machine, new MemoryDisk())
    return machine
  }

  /** Of the application and the metaproxy. */
  private get othersTransport(): Transport {
    return this.network.transportOf?.('others') ?? this.network.transport
  }

  disk(machine = this.here): MemoryDisk {
    return this.disks.get(machine)!
  }

  /** Lets time pass until it is settled. */
  run<T>(promise: Promise<T>, limitMs = LIMIT_MS): Promise<T> {
    return this.clock.run(promise, limitMs)
  }

  pass(ms: number): Promise<void> {
    return this.clock.advance(ms)
  }

  async until(what: string, done: () => boolean, limitMs = 180_000): Promise<void> {
    const untilMs = this.clock.nowMs() + limitMs
    while (!done()) {
      if (this.clock.nowMs() > untilMs) throw new Error(`not there after ${limitMs / 1000} s: ${what}`)
      await this.clock.advance(100)
    }
  }

  get request(): MigrationRequest {
    return {
      accepted: [],
      afterDrain: 'ask',
      denyMode: this.options.denyMode ?? 'reconfig',
      limits: defaultLimits,
      maxWriteDenyMs: MAX_WRITE_DENY_MS,
      ...(this.hasRoot ? {metaproxy: {hosts: 'zookeeper:2181', root: ROOT}} : {}),
      proxies: this.hasRoot ? [this.proxy.address] : [],
      sourceMetas: this.source.metas,
      table: TABLE,
      targetCluster: this.target.name,
      targetMetas: this.target.metas,
      thresholdMutations: 10_000,
      verify: 'sample',
      verifySampleRows: 50,
    }
  }

  migrate(options: DriveOptions = {}, request: Partial<MigrationRequest> = {}): Driver<MigrationResult> {
    return this.drive(options, (world, signal, emit) =>
      migrate(
        {...this.request, ...request},
        world,
        {
          askMoved: async () => options.askMoved ?? 'moved',
          async confirm({effects}) {
            options.onPlan?.(effects)
            return true
          },
          emit: (event) => {
            this.moveApplications(event)
            emit(event)
          },
        },
        {dryRun: false, signal},
      ),
    )
  }

  rollback(options: DriveOptions = {}, request: Partial<RollbackRequest> = {}, dryRun = false): Driver<RollbackResult> {
    return this.drive(options, (world, signal, emit) =>
      rollback(
        {
          ...rollbackDefaults,
          adopt: false,
          allowDataLoss: false,
          briefDeny: false,
          dropTarget: false,
          sourceMetas: this.source.metas,
          table: TABLE,
          ...request,
        },
        world,
        {confirm: async () => true, emit},
        {dryRun, signal},
      ),
    )
  }

  /** What `table:migrate-status` tells of the table. */
  async status(query: Partial<StatusQuery> = {}, machine = this.here): Promise<TableStatus> {
    const life = machine.begin()
    const world = this.worldOf(life, undefined)
    const {proxies, sourceMetas} = this.request
    const given = {proxies, sourceMetas, table: TABLE, ...query}
    const report = await readStatus(given, {...world, isAlive: (pid) => life.processes.lives(pid)})
    life.kill()
    return report.tables[0]!
  }

  /** Waits until no guard is at work any more. */
  async guardsEnd(limitMs = 600_000): Promise<void> {
    await this.until(
      'the end of every guard',
      () => this.guards.every(({end, error, life}) => end ?? error ?? !life.isAlive),
      limitMs,
    )
  }

  async stop(): Promise<void> {
    for (const machine of this.disks.keys()) for (const life of machine.lives) life.kill()
    if (!this.isQuiet) await this.applicationsStop()
    await this.run(this.proxy.stop())
    await this.run(this.sandbox.stop())
  }

  private async start(): Promise<void> {
    const {load, overrides, partitionCount = 2, profile = '2.5', realTimers, rows = 60, servers = 3} = this.options
    const timers = realTimers ? {} : quickTimers
    this.sandbox = await this.run(
      startSandbox({
        clock: this.clock,
        listen: this.network,
        overrides: {source: {...timers, ...overrides?.source}, target: {...timers, ...overrides?.target}},
        profile,
        random: this.random,
        servers,
      }),
    )
    for (const cluster of [this.source, this.target]) {
      cluster.hazards.crashOnEarlyDrop = true
      cluster.hazards.crashWhenStoppedUnderLoad = true
    }

    await this.source.createTable(TABLE, {partitionCount, replicaCount: servers})
    this.source.loadRows(
      TABLE,
      Array.from({length: rows}, (_, index) => ({hashKey: `old${index}`, value: `value ${index}`})),
    )
    this.zookeeper.put(ROOT, '')
    this.zookeeper.put(NODE, formatNodeData(this.source.name, this.source.metas))
    this.proxy = await this.run(
      SimulatedMetaproxy.start({
        clock: this.clock,
        network: {listen: (accept) => this.network.listen(accept), transport: this.othersTransport},
        random: this.random,
        root: ROOT,
        zookeeper: () => this.zookeeper.watched(),
      }),
    )
    this.watch.over(this)
    this.isQuiet = load === false
    if (load === false) return
    this.route.metas = this.source.metas
    this.load = await this.startLoad(1000, load)
  }

  /** Another application; it ends with the simulation. */
  async addLoad(options: Partial<LoadOptions>): Promise<LoadClient> {
    const added = await this.startLoad(2000 + this.others.length, options)
    this.others.push(added)
    return added
  }

  private async startLoad(seed: number, options: Partial<LoadOptions> | undefined): Promise<LoadClient> {
    const client = new LoadClient({
      env: {
        clock: this.clock,
        random: seededRandom((this.options.seed ?? 1) + seed),
        transport: this.othersTransport,
      },
      keys: 40,
      table: TABLE,
      target: this.hasRoot ? {metaproxy: this.proxy.address} : this.route,
      writers: 2,
      writesPerSecond: 10,
      ...options,
    })
    await this.run(client.start())
    return client
  }

  /** Without a node the operator moves the applications once the tool went on after the word. */
  private moveApplications(event: MigrationEvent): void {
    if (!this.hasRoot && event.type === 'effect' && event.effect.kind === 'close-source' && event.state === 'begin') {
      this.route.metas = this.target.metas
      this.watch.moves = 1
    }
  }

  /** Nobody writes any more. */
  async applicationsStop(): Promise<void> {
    this.isQuiet = true
    if (this.load) await this.run(this.load.stop())
    for (const other of this.others) await this.run(other.stop())
  }

  /** Makes both sides hold the same rows, whatever was written to the target since it serves. */
  copyBack(): void {
    const [here, there] = [this.source, this.target].map((cluster) => cluster.table(TABLE).partitions)
    for (const [index, {rows}] of there!.entries()) {
      for (const {key} of here![index]!.rows.snapshot()) here![index]!.rows.remove(key)
      for (const {expireTs, key, value} of rows.snapshot()) here![index]!.rows.put(key, value, expireTs)
    }
  }

  private drive<R>(
    {machine = this.here, onEvent, operatorHooks, wrapEffects}: DriveOptions,
    run: (
      world: MigrationWorld,
      signal: AbortSignal,
      emit: (event: MigrationEvent | RollbackEvent) => void,
    ) => Promise<R>,
  ): Driver<R> {
    const life = machine.begin()
    const signal = new AbortController()
    const events: (MigrationEvent | RollbackEvent)[] = []
    const emit = (event: MigrationEvent | RollbackEvent) => {
      if (!life.isAlive) return
      events.push(event)
      onEvent?.(event, life)
    }

    const world = {...this.worldOf(life, wrapEffects), ...(operatorHooks ? {operatorHooks} : {})}
    const result = life.outside(run(world, signal.signal, emit))
    // The process ends with its command; a killed one never does.
    const end = () => life.kill()
    result.then(end, end)
    return {events, life, result, signal}
  }

  private worldOf(life: Life, wrapEffects: DriveOptions['wrapEffects']): MigrationWorld {
    const openSession = sessionsOf(life, {
      fault: (operation, who) => this.sessionFault?.(operation, who),
      model: this.zookeeper,
      onOpen: (who) => this.onSession?.(who),
    })
    const files = this.disk(life.machine).of(life)
    const {calmMs} = this.options
    return {
      ...(calmMs === undefined ? {} : {calmMs}),
      clock: life.clock,
      files,
      journalDirectory: DIRECTORY,
      openLocks: ({hosts, root}, clock) => new ZooKeeperLocks({clock, hosts, openSession, root}),
      openStore: ({hosts, root}, clock) => new ZooKeeperStore({clock, hosts, openSession, root}),
      processes: life.processes,
      random: this.random,
      // Names are asked for on the machine itself: no time passes, and nothing real is done.
      resolve: async () => ['127.0.0.1'],
      ...((this.options.guard ?? true)
        ? {
            startGuard: (plan, emit) => {
              const channel = new GuardChannel(
                plan.journalDirectory,
                plan.request.table,
                plan.request.targetCluster,
                files,
              )
              return startGuard(
                channel,
                life.clock,
                emit,
                async () => this.launchGuard(plan, life.machine),
                life.processes,
              )
            },
          }
        : {}),
      transport: life.transport,
      ...(wrapEffects ? {wrapEffects: (live) => wrapEffects(live, life)} : {}),
    }
  }

  private launchGuard(plan: Parameters<typeof runGuard>[0], machine: Machine): void {
    const life = machine.begin()
    const guard: (typeof this.guards)[number] = {life}
    this.guards.push(guard)
    const {files, openLocks, openStore} = this.worldOf(life, undefined)
    const world = {
      clock: life.clock,
      ...(files ? {files} : {}),
      openLocks: openLocks!,
      openStore: openStore!,
      pid: life.pid,
      processes: life.processes,
      random: this.random,
      transport: life.transport,
      ...(this.wrapGuardEffects ? {wrapEffects: (live: Effects) => this.wrapGuardEffects!(live, life)} : {}),
    }
    // The plan went through a file: nothing is shared with the driver.
    runGuard(structuredClone(plan), world, new AbortController().signal).then(
      (end) => {
        guard.end = end
        life.kill()
      },
      (error: unknown) => {
        guard.error = error
        life.kill()
      },
    )
  }

  /** Waits on virtual time, from within. */
  sleep(ms: number): Promise<void> {
    return sleep(this.clock, ms)
  }
}
