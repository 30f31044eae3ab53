import {sleep} from '../../../src/lib/clock.js'
import type {Effects} from '../../../src/lib/migration/effects.js'
import type {MigrationRequest, MigrationResult} from '../../../src/lib/migration/index.js'
import type {OperatorHooks} from '../../../src/lib/migration/operator-hooks/moments.js'
import type {RollbackResult} from '../../../src/lib/migration/rollback/index.js'
import type {Life, Machine} from '../life.js'
import {type Driver, ROOT, type Simulation} from '../simulation.js'
import type {Overseer} from './overseer.js'
import type {Plan} from './plan.js'
import {LIMITS, paceIn} from './timers.js'
import {tellEvent, type Trace} from './trace.js'

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

/** The commands of a run, on all machines, and what is heard of them. */
export class Commands {
  readonly acts: Acting[] = []
  /** How the next hook of a moment ends, by moment; those that are not named are not there. */
  readonly hooks = new Map<string, 'fail' | 'hang'>()
  private readonly machines = new Map<string, Machine>()

  /** @param sign hears of moments at which faults may begin */
  constructor(
    private readonly plan: Plan,
    private readonly simulation: Simulation,
    private readonly overseer: Overseer,
    private readonly trace: Trace,
    private readonly sign: (name: string) => void,
  ) {
    this.machines.set('here', simulation.here)
  }

  /** The first command that neither ended nor died. */
  workingDriver(): Acting | undefined {
    return this.acts.find(({driver}) => driver.life.isAlive)
  }

  get isAnybodyWorking(): boolean {
    return this.acts.some(({driver}) => driver.life.isAlive)
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
      onEvent: (event: Driver<Result>['events'][number], life: Life) => this.hear(event, life, name),
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

  private hear(event: Driver<Result>['events'][number], life: Life, name: string): void {
    tellEvent(this.trace, name, event)
    if (event.type === 'phase-started') {
      this.overseer.phaseBegins(event.phase, life)
      this.simulation.load!.writesPerSecond = paceIn(event.phase, this.plan.world)
      this.sign(`phase:${event.phase}`)
    }

    if (event.type === 'undo-started') this.sign('undo')
    const closes = event.type === 'effect' && event.effect.kind === 'close-source' && event.state === 'begin'
    if (closes && !this.simulation.hasRoot) this.overseer.moved()
  }

  /** Effects that a run's faults and the overseer see before they are carried out. */
  watched(live: Effects, life: Life, name: string): Effects {
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
}
