import {assertClean} from '../judge.js'
import {NODE, TABLE} from '../simulation.js'
import type {Plan} from './plan.js'
import type {Acting, Command} from './commands.js'
import {dropCopy} from './faults.js'
import {Stage} from './stage.js'

/** How a run went. */
export interface Report {
  failure?: {atMs: number; invariant: string; message: string}
  hash: string
  /** How each command ended, for statistics: `migrate stopped drain.limit`. */
  ends: string[]
  seed: number
  trace: string[]
  virtualMs: number
}

const COMMAND_LIMIT_MS = 3_600_000
const ELECTION_LIMIT_MS = 120_000
const SESSION_LIMIT_MS = 30_000
const POLL_MS = 250
/** Until servers that came back are found healthy again, and counters are fresh. */
const REST_MS = 15_000
const WRITABLE_LIMIT_MS = 60_000
/** What a rollback refuses to touch on a machine that knows nothing of it; it says: --adopt. */
const BEGUN_ELSEWHERE: ReadonlySet<string> = new Set(['rollback.foreign_deny', 'rollback.foreign_duplication'])
/** Keys are drawn: each partition must soon have its turn. */
const JUDGED_WRITES_PER_SECOND = 4

/** Plays a plan to its end, on virtual time; never throws for what it finds. */
export async function play(plan: Plan): Promise<Report> {
  const stage = await Stage.open(plan)
  const {overseer, simulation, trace} = stage
  const script = new Script(stage)
  try {
    await simulation.run(script.perform(), 10 * COMMAND_LIMIT_MS)
  } catch (error) {
    overseer.fail('harness', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }

  const {violation} = overseer
  const report: Report = {
    ends: stage.commands.acts.map(({command, driver, result}) =>
      [command, result?.outcome ?? (driver.life.isAlive ? 'alive' : 'killed'), result?.error?.code ?? '']
        .join(' ')
        .trim(),
    ),
    ...(violation
      ? {failure: {atMs: simulation.clock.nowMs(), invariant: violation.invariant, message: violation.message}}
      : {}),
    hash: trace.digest(),
    seed: plan.seed,
    trace: trace.lines,
    virtualMs: simulation.clock.nowMs(),
  }
  overseer.stop()
  await simulation.stop()
  return report
}

function servesAfter(outcome: string | undefined): 'source' | 'target' | undefined {
  if (outcome === 'migrated') return 'target'
  return outcome === 'rolled-back' || outcome === 'returned' ? 'source' : undefined
}

class Script {
  private readonly judged = new Set<Acting>()

  constructor(private readonly stage: Stage) {}

  private get isOver(): boolean {
    return this.stage.overseer.violation !== undefined
  }

  async perform(): Promise<void> {
    const {stage} = this
    stage.commands.begin('migrate', 'here')
    await this.untilQuiet()
    if (this.isOver) return
    await stage.heal()
    await Promise.all(stage.work)
    // A command may have been begun by a fault while the others ended.
    await this.untilQuiet()
    if (this.isOver) return
    const clean = this.cleanEnd()
    if (clean === undefined) {
      await this.rest(REST_MS)
      if (this.isOver) return
      await this.mend()
    } else {
      await this.judgeClean(clean)
    }

    if (this.isOver) return
    stage.overseer.look()
  }

  /** Until every command ended or died, and every guard too. */
  private async untilQuiet(): Promise<void> {
    const {overseer, simulation} = this.stage
    const untilMs = simulation.clock.nowMs() + COMMAND_LIMIT_MS
    while (!this.isOver && (this.stage.commands.isAnybodyWorking || this.stage.guardsAreAtWork)) {
      await simulation.sleep(POLL_MS)
      this.judgeEnds()
      if (simulation.clock.nowMs() > untilMs) {
        const who = this.stage.commands.workingDriver()?.name ?? 'a guard'
        overseer.fail('ends', `${who} does not end within an hour`)
      }
    }

    this.judgeEnds()
    for (const {error} of simulation.guards)
      if (error !== undefined) overseer.fail('guard', `a guard failed: ${String(error)}`)
  }

  /** I2 for commands that ended by themselves, where nobody else is at work on the table. */
  private judgeEnds(): void {
    const {judged, stage} = this
    for (const acting of stage.commands.acts) {
      if (!acting.result || judged.has(acting)) continue
      judged.add(acting)
      const {error} = acting.result
      if (error?.code === 'unexpected') this.stage.overseer.fail('unexpected', `${acting.name}: ${error.message}`)
      if (!stage.commands.isAnybodyWorking && !stage.guardsAreAtWork) this.judgeEnd(acting)
    }
  }

  private judgeEnd({name, result}: Acting): void {
    const {overseer} = this.stage
    const {error, next, outcome, warnings} = result!
    const told = `${name}: ${outcome} ${error?.code ?? ''}`
    if (outcome === 'write-denied') {
      if (next === undefined) overseer.fail('I2', `${told} does not say what mends it`)
      return
    }

    if (overseer.isUnknowable || overseer.hasMeddled('deny', 'target', 'drop')) return
    // Preflight tells of a deny that this machine knows nothing of, beside whatever else it stops at.
    const checks = 'checks' in result! ? result.checks : []
    const isForeign = checks.some(({id, severity}) => id === 'source-deny' && severity === 'error')
    const saysDenied =
      isForeign ||
      [...warnings, error?.message ?? '', next ?? ''].some((text) => /write-denied|denie|refuse/.test(text))
    const serving = overseer.lastingRefusals(overseer.serves)
    if (serving.length > 0 && !saysDenied) overseer.fail('I2', `${told}, and ${serving.join('; ')}`)
    const {serves} = overseer
    if ((outcome === 'migrated' || outcome === 'switched-unfinished') && serves !== 'target')
      overseer.fail('I2', `${told}, and the ${serves} serves`)
    if ((outcome === 'rolled-back' || outcome === 'returned') && serves !== 'source')
      overseer.fail('I2', `${told}, and the ${serves} serves`)
  }

  /** The side that serves, where the last command said that nothing is left to do and nobody meddled since. */
  private cleanEnd(): 'source' | 'target' | undefined {
    const {
      commands: {acts},
      overseer,
    } = this.stage
    if (overseer.hasAnybodyMeddled) return undefined
    // Those who found the table locked did nothing.
    // What could not be put back is told, and is the next command's.
    if (acts.some(({result}) => result?.warnings.some((text) => text.includes('could not be ')))) return undefined
    const outcomes = acts.map(({result}) => result?.outcome).filter((outcome) => outcome !== 'refused')
    return outcomes.length === 1 ? servesAfter(outcomes[0]) : undefined
  }

  /** One command makes it good; where it says that it is not the one, the other does. */
  private async mend(): Promise<void> {
    const {overseer, plan} = this.stage
    if (overseer.isUnknowable) return
    const order: Command[] = plan.mend === 'migrate' ? ['migrate', 'rollback'] : ['rollback', 'migrate']
    const answers: string[] = []
    const tries = order.map((command) => ({adopt: overseer.hasMeddled('deny', 'lift', 'remove', 'drop'), command}))
    for (const {adopt, command} of tries) {
      const dropTarget = overseer.hasMeddled('remove', 'drop')
      const copyIsGone = overseer.hasMeddled('drop') && !this.stage.simulation.target.state.tableNamed(TABLE)
      const drops = dropTarget && overseer.serves === 'source'
      const where = plan.mendThere ? 'there' : 'here'
      // What no journal knows is adopted with a full comparison.
      const {accepted} = this.stage.simulation.request
      const request = {accepted: [...accepted, 'foreign-duplication'], verify: 'full'} as const
      const more = where === 'there' ? {request: {...request, accepted: [...request.accepted]}} : {}
      const acting = this.stage.commands.begin(command, where, {adopt, copyIsGone, dropTarget: drops, ...more})
      await this.untilQuiet()
      if (this.isOver) return
      const {error, next, outcome} = acting.result!
      const side = servesAfter(outcome)
      if (side !== undefined) return this.judgeClean(side)

      // As it advises, where no journal is: whoever opened the source closes it again, and what is left is finished then.
      if (error?.code === 'rollback.both_open' && next?.includes('set_app_envs')) {
        this.stage.closeByHand()
        tries.push({adopt, command: 'migrate'})
      }

      // As it advises: nobody but a person knows whether the copy of a duplication that is gone is needed.
      if (error?.message.includes('left behind by a duplication that is gone')) dropCopy(this.stage)
      // As it advises: another machine's command has left it.
      if (BEGUN_ELSEWHERE.has(error?.code ?? '') && !adopt) tries.push({adopt: true, command})
      // The target goes on serving, and status names the command that finishes what is left.
      if (error?.code === 'rollback.would_lose' && tries.length === order.length)
        tries.push({adopt, command: 'migrate'})
      answers.push(`${command}: ${outcome} ${error?.code ?? ''} ${error?.message ?? ''}`)
    }

    // What served is gone: only whoever dropped it can recall it.
    if (overseer.hasMeddled('drop') && overseer.serves === 'target') return
    // Nothing is left to do: there is nothing to go on with, and nothing to take back.
    const {state} = await this.stage.simulation.status()
    if (state === 'migrated' || state === 'handed-over') return this.judgeClean('target')
    // Taken back by a command before; the copy that it kept is for a person to drop.
    if (state === 'idle') return this.judgeClean('source')
    overseer.fail('mend', `neither command makes it good (it is called ${state}): ${answers.join('; ')}`)
  }

  private async judgeClean(side: 'source' | 'target'): Promise<void> {
    const {overseer, simulation} = this.stage
    if (overseer.serves !== side) overseer.fail('I2', `the ${overseer.serves} serves, not the ${side}`)
    const refused = overseer.refusals(side)
    if (refused.length > 0) overseer.fail('I2', refused.join('; '))
    await this.untilWritten()
    if (this.isOver) return
    if (side === 'target' && !overseer.refusals('source').includes('source: env reconfig*all'))
      overseer.fail('I3', 'the source does not refuse everyone')
    await this.untilLocksEnd()
    try {
      // The lock file of a command that died stays for the next one on its machine, which takes it over.
      assertClean(simulation, {elsewhere: this.stage.plan.mendThere === true})
    } catch (error) {
      overseer.fail('I5', (error as Error).message)
    }

    await this.judgeStatus(side)
    for (const {aborted, address} of [...simulation.source.servers, ...simulation.target.servers]) {
      if (aborted !== undefined && !overseer.hasMeddled('pause', 'remove', 'drop'))
        overseer.fail('crash', `${address} went down: ${aborted}`)
    }
  }

  /** The lock of a command that lost ZooKeeper ends with its session. */
  private async untilLocksEnd(): Promise<void> {
    const {simulation} = this.stage
    const untilMs = simulation.clock.nowMs() + SESSION_LIMIT_MS
    while (simulation.zookeeper.children(NODE).length > 0 && simulation.clock.nowMs() < untilMs)
      await simulation.sleep(POLL_MS)
  }

  /** It must be a state that needs nobody; a rollback keeps the copy unless it is told to drop it. */
  private async judgeStatus(side: 'source' | 'target'): Promise<void> {
    const {overseer, simulation, trace} = this.stage
    const {metaproxy} = simulation.request
    // As asked on a machine that may have no journal of it.
    const where = metaproxy ? {zooKeeperHosts: metaproxy.hosts, zooKeeperRoot: metaproxy.root} : {}
    let {because, state} = await simulation.status(where)
    const untilMs = simulation.clock.nowMs() + ELECTION_LIMIT_MS
    // Metas that have just been started again elect a leader first.
    while (state === 'unreachable' && simulation.clock.nowMs() < untilMs) {
      await simulation.sleep(POLL_MS)
      ;({because, state} = await simulation.status(where))
    }

    trace.add('status', `${state}: ${because}`)
    const wanted = side === 'target' ? ['migrated', 'handed-over'] : ['idle', 'orphan-target']
    if (!wanted.includes(state))
      overseer.fail('status', `it is called ${state} (${because}), not ${wanted.join(' or ')}`)
  }

  /** The application's writes succeed on every partition. */
  private async untilWritten(): Promise<void> {
    const {overseer, simulation} = this.stage
    const {load} = simulation
    if (!load) return
    const from = load.ledger.history.length
    const untilMs = simulation.clock.nowMs() + WRITABLE_LIMIT_MS
    // A key's partition is fixed: those that were never written have none.
    load.writesPerSecond = JUDGED_WRITES_PER_SECOND
    const wanted = new Set(load.ledger.history.map(({partitionIndex}) => partitionIndex))
    while (!this.isOver) {
      for (const {partitionIndex} of load.ledger.history.slice(from)) wanted.delete(partitionIndex)
      if (wanted.size === 0) return
      if (simulation.clock.nowMs() > untilMs)
        overseer.fail('I2', `no write of ${TABLE} to partitions ${[...wanted].join(', ')} succeeds`)
      await simulation.sleep(POLL_MS)
    }
  }

  private async rest(ms: number): Promise<void> {
    for (let passed = 0; passed < ms && !this.isOver; passed += 1000) await this.stage.simulation.sleep(1000)
  }
}
