import {sleep} from '../../../src/lib/clock.js'
import type {Effects} from '../../../src/lib/migration/effects.js'
import type {MigrationRequest, MigrationResult} from '../../../src/lib/migration/index.js'
import type {OperatorHooks} from '../../../src/lib/migration/operator-hooks/moments.js'
import type {RollbackResult} from '../../../src/lib/migration/rollback/index.js'
import {MetaFunctionLevel} from '../../../src/lib/rpc/structs/cluster.js'
import {DuplicationFailMode} from '../../../src/lib/rpc/structs/duplication.js'
import type {Life, Machine} from '../life.js'
import {DENY_ENV} from '../../sandbox/replica/deny.js'
import {type Driver, ROOT, Simulation, TABLE} from '../simulation.js'
import {beginOf, FOREIGN_DENY, needsRoot} from './faults.js'
import {Overseer} from './overseer.js'
import type {Fault, Plan} from './plan.js'
import {Sky} from './sky.js'
import {CALM_MS, LIMITS, paceIn, TIMERS} from './timers.js'
import {tellEvent, Trace} from './trace.js'
import {weatherNetwork} from './weather.js'

/** Of one hook. */
const HOOK_LIMIT_MS = 20_000

export type Command = 'migrate' | 'rollback'
export type Result = MigrationResult | RollbackResult

export interface BeginOptions {
  /** Of a rollback. */
  adopt?: boolean
  /** Of a rollback. */
  copyIsGone?: boolean
  /** Of a rollback. */
  dropTarget?: boolean
  /** Of a migration. */
  request?: Partial<MigrationRequest>
}

/** A command that was begun. */
export interface Acting {
  command: Command
  driver: Driver<Result>
  error?: unknown
  name: string
  result?: Result
}

/** Everything that a run plays with. */
export class Stage {
  readonly acts: Acting[] = []
  readonly overseer: Overseer
  /** How the next hook of a moment ends, by moment; those that are not named are not there. */
  readonly hooks = new Map<string, 'fail' | 'hang'>()
  private readonly ends = new Set<() => Promise<void> | void>()
  private readonly machines = new Map<string, Machine>()
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
    this.machines.set('here', simulation.here)
    this.waiting = plan.faults.filter(({at, kind}) => 'sign' in at && this.makesSense(kind))
    for (const fault of plan.faults) {
      if ('ms' in fault.at && this.makesSense(fault.kind))
        simulation.clock.setTimer(fault.at.ms, () => this.strike(fault))
    }

    simulation.disk().onCreate = (path) => {
      if (path.endsWith('.claim')) this.sign('claim')
    }

    simulation.wrapGuardEffects = (live, life) => this.watched(live, life, `guard ${life.pid}`)
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

  /** The first command that neither ended nor died. */
  workingDriver(): Acting | undefined {
    return this.acts.find(({driver}) => driver.life.isAlive)
  }

  get isAnybodyWorking(): boolean {
    return this.acts.some(({driver}) => driver.life.isAlive)
  }

  get guardsAreAtWork(): boolean {
    return this.simulation.guards.some(({end, error, life}) => end === undefined && error === undefined && life.isAlive)
  }

  machine(name: string): Machine {
    let machine = this.machines.get(name)
    if (!machine) {
      machine = this.simulation.machine(name)
      this.machines.set(name, machine)
    }

    return machine
  }

  begin(command: Command, where: string, more: BeginOptions = {}): Acting {
    const {plan, simulation, trace} = this
    const machine = this.machine(where)
    const name = `${command} ${machine.lives.length + 1}${where === 'here' ? '' : ` ${where}`}`
    const options = {
      askMoved: plan.world.askMoved,
      machine,
      ...(command === 'migrate' ? {operatorHooks: this.operatorHooks} : {}),
      onEvent: (event: Driver<Result>['events'][number]) => this.hear(event, name),
      wrapEffects: (live: Effects, life: Life) => this.watched(live, life, name),
    }
    trace.add(name, 'begins')
    const known = where === 'here' ? {} : this.whereabouts()
    const driver: Driver<Result> =
      command === 'migrate'
        ? simulation.migrate(options, {
            hooks: {inWindow: true, limitMs: HOOK_LIMIT_MS},
            limits: LIMITS,
            verify: plan.world.verify,
            verifySampleRows: 10,
            ...more.request,
          })
        : simulation.rollback(options, {
            adopt: more.adopt ?? false,
            briefDeny: true,
            copyIsGone: more.copyIsGone ?? false,
            dropTarget: more.dropTarget ?? false,
            limitMs: 300_000,
            ...known,
          })
    const acting: Acting = {command, driver, name}
    this.acts.push(acting)
    driver.result.then(
      (result) => {
        acting.result = result
        const {error, next, outcome} = result
        trace.add(
          name,
          `ends: ${outcome}${error ? ` (${error.code}: ${error.message})` : ''}${next === undefined ? '' : ` → ${next}`}`,
        )
        this.sign('end')
      },
      (error: unknown) => {
        acting.error = error
        this.overseer.fail('throws', `${name} threw ${String(error)}`)
      },
    )
    return acting
  }

  /** Executables that the operator's faults are about: they say no, or do not end. */
  private readonly operatorHooks: OperatorHooks = {
    has: (moment) => this.hooks.has(moment),
    run: async ({moment}, {limitMs, signal}) => {
      const how = this.hooks.get(moment)!
      this.hooks.delete(moment)
      this.trace.add('hook', `${moment}: ${how}`)
      if (how === 'hang') await sleep(this.simulation.clock, limitMs, signal).catch(() => {})
      const text = how === 'hang' ? `killed after ${limitMs / 1000} s` : 'exit code 3'
      return {lines: [], ok: false, text, tookMs: how === 'hang' ? limitMs : 0}
    },
  }

  /** What somebody on another machine, without the journal, must say. */
  private whereabouts() {
    const {hasRoot, target} = this.simulation
    return {
      adopt: true,
      targetCluster: target.name,
      targetMetas: target.metas,
      ...(hasRoot ? {zooKeeperHosts: 'zookeeper:2181', zooKeeperRoot: ROOT} : {}),
    }
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

  private hear(event: Driver<Result>['events'][number], name: string): void {
    tellEvent(this.trace, name, event)
    if (event.type === 'phase-started') {
      this.overseer.phaseBegins(event.phase)
      this.simulation.load!.writesPerSecond = paceIn(event.phase, this.plan.world)
      this.sign(`phase:${event.phase}`)
    }

    if (event.type === 'undo-started') this.sign('undo')
    const closes = event.type === 'effect' && event.effect.kind === 'close-source' && event.state === 'begin'
    if (closes && !this.simulation.hasRoot) this.overseer.moved()
  }

  private watched(live: Effects, life: Life, name: string): Effects {
    return {
      perform: async (effect, signal) => {
        this.trace.add(
          name,
          `effect ${effect.kind}${'name' in effect ? ` ${effect.name}=${effect.value} ${effect.server}` : ''}`,
        )
        this.overseer.effectBegins(effect, life, name.startsWith('guard'))
        this.sign(`effect:${effect.kind}`)
        // What kills or stops the process right here comes before the effect.
        if (!life.isAlive) return new Promise(() => {})
        if (!life.isRunning) await life.outside(Promise.resolve())
        try {
          const outcome = await live.perform(effect, signal)
          this.trace.add(name, `done   ${effect.kind}`)
          if (effect.kind === 'pause-duplication') this.overseer.pausedShipping()
          this.sign(`done:${effect.kind}`)
          return outcome
        } catch (error) {
          this.trace.add(name, `failed ${effect.kind}: ${error instanceof Error ? error.message : String(error)}`)
          throw error
        }
      },
    }
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
