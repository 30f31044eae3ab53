import {MetaFunctionLevel} from '../../../src/lib/rpc/structs/cluster.js'
import {DuplicationFailMode} from '../../../src/lib/rpc/structs/duplication.js'
import {DENY_ENV} from '../../sandbox/replica/deny.js'
import {Simulation, TABLE} from '../simulation.js'
import {Commands} from './commands.js'
import {beginOf, FOREIGN_DENY, needsRoot} from './faults.js'
import {Overseer} from './overseer.js'
import type {Fault, Plan} from './plan.js'
import {Sky} from './sky.js'
import {CALM_MS, TIMERS} from './timers.js'
import {Trace} from './trace.js'
import {weatherNetwork} from './weather.js'

/** Everything that a run plays with. */
export class Stage {
  readonly commands: Commands
  readonly overseer: Overseer
  private readonly ends = new Set<() => Promise<void> | void>()
  private readonly signs = new Map<string, number>()
  private waiting: Fault[]
  private faultsOver = false
  /** Of faults under way. */
  readonly work = new Set<Promise<void>>()

  private constructor(
    readonly plan: Plan,
    readonly simulation: Simulation,
    readonly sky: Sky,
    readonly trace: Trace,
  ) {
    this.overseer = new Overseer(simulation, trace)
    this.commands = new Commands(plan, simulation, this.overseer, trace, (name) => this.sign(name))
    this.waiting = plan.faults.filter(({at, kind}) => 'sign' in at && this.makesSense(kind))
    for (const fault of plan.faults) {
      if ('ms' in fault.at && this.makesSense(fault.kind))
        simulation.clock.setTimer(fault.at.ms, () => this.strike(fault))
    }

    simulation.disk().onCreate = (path) => {
      if (path.endsWith('.claim')) this.sign('claim')
    }

    simulation.wrapGuardEffects = (live, life) => this.commands.watched(live, life, `guard ${life.pid}`)
  }

  static async open(plan: Plan): Promise<Stage> {
    const {seed, world} = plan
    let sky!: Sky
    const box: {trace?: Trace} = {}
    const simulation = await Simulation.open({
      calmMs: CALM_MS,
      denyMode: world.denyMode,
      guard: world.guard,
      load: {
        keys: world.keys,
        operationTimeoutMs: 1000,
        valueBytes: world.valueBytes,
        writers: 1,
        writesPerSecond: world.writesPerSecond,
      },
      network(clock) {
        box.trace = new Trace(clock)
        sky = new Sky(clock, () => box.trace!, world.latencyMs, seed)
        return weatherNetwork(clock, sky)
      },
      overrides: {source: TIMERS, target: TIMERS},
      partitionCount: world.partitions,
      profile: world.profile,
      root: world.root,
      rows: world.rows,
      seed,
      servers: world.servers,
      ...(world.skew ? {skews: {here: world.skew}} : {}),
    })
    if (world.lively) simulation.source.leader!.level = MetaFunctionLevel.fl_lively
    return new Stage(plan, simulation, sky, box.trace!)
  }

  get guardsAreAtWork(): boolean {
    return this.simulation.guards.some(({end, error, life}) => end === undefined && error === undefined && life.isAlive)
  }

  /** One more fault, at the next such sign. */
  expect(sign: string, fault: Omit<Fault, 'at'>): void {
    this.waiting.push({...fault, at: {afterMs: 0, nth: (this.signs.get(sign) ?? 0) + 1, sign}})
  }

  /** What was expected and did not come, is not expected any more. */
  expectNothing(): void {
    this.waiting = []
  }

  /** All faults end; what another operator did stays. */
  async heal(): Promise<void> {
    this.faultsOver = true
    this.waiting = []
    for (const end of this.ends) await end()
    const {simulation} = this
    for (const cluster of [simulation.source, simulation.target]) {
      cluster.faults.clear()
      for (const [index, meta] of cluster.metaServers.entries()) if (!meta.alive) await cluster.startMeta(index)
      for (const server of cluster.servers) if (!server.alive) await cluster.startServer(server.address)
    }

    this.undoMeddling()
    this.trace.add('faults', 'have ceased')
  }

  /** What the tool's words ask of another operator: to take off the envs that he set, and to set the fail mode back. */
  private undoMeddling(): void {
    const {overseer, simulation} = this
    if (overseer.hasMeddled('skip')) {
      const {duplications} = simulation.source.state
      const [entry] = duplications.of(simulation.source.state.tableNamed(TABLE)!.info.appId)
      if (entry) duplications.modify({appName: TABLE, dupid: entry.dupid, failMode: DuplicationFailMode.FAIL_SLOW})
    }

    if (overseer.hasMeddled('target')) simulation.target.state.tableNamed(TABLE)?.info.envs.delete(DENY_ENV)
    // A copy that was made meanwhile has it too.
    for (const {state} of [simulation.source, simulation.target]) {
      const envs = state.tableNamed(TABLE)?.info.envs
      if (overseer.hasMeddled('deny') && envs?.get(DENY_ENV) === FOREIGN_DENY) envs.delete(DENY_ENV)
    }
  }

  /** In the Pegasus shell on the source, as a rollback without a journal advises. */
  closeByHand(): void {
    this.simulation.source.state.tableNamed(TABLE)?.info.envs.set(DENY_ENV, 'reconfig*all')
  }

  private makesSense(kind: string): boolean {
    return this.simulation.hasRoot || !needsRoot.has(kind)
  }

  private strike(fault: Fault): void {
    if (this.faultsOver) return
    this.trace.add('fault', `${fault.kind} ${JSON.stringify({...fault, at: undefined, kind: undefined})}`)
    const work = this.carryOut(fault).catch((error: unknown) => {
      this.overseer.fail('harness', `${fault.kind}: ${error instanceof Error ? error.stack : String(error)}`)
    })
    this.work.add(work)
    void work.then(() => this.work.delete(work))
  }

  private async carryOut(fault: Fault): Promise<void> {
    this.overseer.faultBegan()
    const begun = await beginOf[fault.kind]!(this, fault, this.simulation[fault.side ?? 'source'])
    const end = async () => {
      if (!this.ends.delete(end)) return
      if (begun) this.trace.add('fault', `${fault.kind} is over`)
      await begun?.()
      this.overseer.faultEnded()
    }

    this.ends.add(end)
    if (fault.lastsMs === undefined && !begun) await end()
    else if (fault.lastsMs !== undefined)
      this.simulation.clock.setTimer(fault.lastsMs, () => {
        end().catch((error: unknown) => this.overseer.fail('harness', String(error)))
      })
  }

  private sign(name: string): void {
    const count = (this.signs.get(name) ?? 0) + 1
    this.signs.set(name, count)
    const struck = this.waiting.filter(({at}) => 'sign' in at && at.sign === name && at.nth === count)
    this.waiting = this.waiting.filter((fault) => !struck.includes(fault))
    for (const fault of struck) {
      const {afterMs} = fault.at as {afterMs: number}
      if (afterMs === 0) this.strike(fault)
      else this.simulation.clock.setTimer(afterMs, () => this.strike(fault))
    }
  }
}
