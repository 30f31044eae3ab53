import assert from 'node:assert/strict'

import {formatNodeData} from '../../../src/lib/metaproxy/node-data.js'
import {snapshot} from '../judge.js'
import {NODE, TABLE} from '../simulation.js'
import type {WorldPlan} from '../seeded/plan.js'
import {Stage} from '../seeded/stage.js'
import {endings, moves, movesByHand, names, type State, stateOf} from './machine.js'

/** What an operator, or somebody else, does next. */
export type Move =
  | {at: string; kind: 'interrupted' | 'killed'; guard: boolean}
  | {kind: 'adopt' | 'migrate' | 'name-source' | 'rollback' | 'status' | 'switch-by-hand'}

const WORLD: WorldPlan = {
  askMoved: 'moved',
  denyMode: 'reconfig',
  guard: true,
  keys: 6,
  latencyMs: 1,
  lively: false,
  partitions: 1,
  profile: '2.5',
  root: true,
  rows: 5,
  servers: 2,
  valueBytes: 12,
  verify: 'sample',
  writesPerSecond: 2,
}

/** Plays moves on a simulated world, and holds every change of state and every ending to the model. */
export class Player {
  private byHand = false
  /** A copy is left on the target by a rollback: it must be dropped before anew. */
  private copyIsLeft = false
  private finished = false
  private foreign = false
  /** Written on both sides by hand: what a comparison finds is right. */
  private spoiled = false
  private state: State = 'idle'
  private readonly history: string[] = []

  private constructor(private readonly stage: Stage) {}

  static async play(moveList: readonly Move[], world: Partial<WorldPlan>): Promise<void> {
    const stage = await Stage.open({faults: [], mend: 'migrate', seed: 1, world: {...WORLD, ...world}})
    const player = new Player(stage)
    try {
      for (const move of moveList) await player.make(move)
    } catch (error) {
      if (error instanceof Error)
        error.message += `\nafter ${player.history.join(', ')}\n${stage.trace.lines.join('\n')}`
      throw error
    } finally {
      stage.overseer.stop()
      await stage.simulation.stop()
    }
  }

  private async make(move: Move): Promise<void> {
    this.history.push(`${JSON.stringify(move)} in ${this.state}`)
    const {simulation} = this.stage
    const before = this.state
    switch (move.kind) {
      case 'adopt': {
        await this.adopt()
        break
      }

      case 'interrupted':
      case 'killed': {
        await this.stop(move)
        break
      }

      case 'name-source': {
        if (before !== 'switched-by-hand' && before !== 'both-open') return
        await this.writeNode('source')
        break
      }

      case 'status': {
        await this.askStatus()
        break
      }

      case 'switch-by-hand': {
        if (!['copying', 'idle', 'shipping'].includes(before)) return
        this.spoiled = true
        this.stage.overseer.switchedByHand()
        await this.writeNode('target')
        break
      }

      default: {
        await this.whole(move.kind)
        break
      }
    }

    await this.watch(simulation.sleep(500))
    this.assertHolds()
  }

  /** A command that nobody disturbs. */
  private async whole(command: 'migrate' | 'rollback', request = {}): Promise<void> {
    const before = this.state
    const acting = this.stage.commands.begin(command, 'here', {request})
    const {error, outcome} = await this.watch(acting.driver.result)
    await this.guardsEnd()
    const told = `${command} in ${before}: ${outcome} ${error?.code ?? ''} ${error?.message ?? ''}`
    const {outcomes, states} = this.endingOf(command, before)
    assert.ok(outcomes.includes(outcome), `${told}; the model says ${outcomes.join(' or ')}`)
    assert.ok(states.includes(this.state), `${told} leaves it ${this.state}; the model says ${states.join(' or ')}`)
    if (outcome === 'rolled-back' && this.stage.simulation.target.state.tableNamed(TABLE)) this.copyIsLeft = true
    if (outcome === 'rolled-back') this.foreign = false
    if (outcome === 'migrated') this.finished = true
  }

  private endingOf(command: 'migrate' | 'rollback', state: State) {
    const ending = endings[command][state]
    if (command === 'migrate' && state === 'idle' && this.copyIsLeft)
      return {outcomes: ['refused'], states: ['idle' as const]}
    if (command === 'migrate' && this.foreign) return {outcomes: ['refused'], states: [state]}
    if (command === 'rollback' && this.foreign && state !== 'idle') return {outcomes: ['refused'], states: [state]}
    // Rows differ where clients wrote to both: that is found, or overwritten before it is looked at.
    if (this.spoiled)
      return {
        outcomes: [...ending.outcomes, 'refused', 'stopped'],
        states: [...ending.states, state, 'shipping' as const, 'copying' as const],
      }
    return ending
  }

  /** Killed, or ended by Ctrl-C, at one of its effects. */
  private async stop({at, guard, kind}: Extract<Move, {at: string}>): Promise<void> {
    if (this.foreign) return
    const {stage} = this
    stage.expect(at, {kind: kind === 'killed' ? 'kill' : 'ctrl-c', pick: 0})
    const acting = stage.commands.begin('migrate', 'here')
    const isOver = () => acting.result !== undefined || !acting.driver.life.isAlive
    while (!isOver()) await this.watch(stage.simulation.sleep(100))
    stage.expectNothing()
    if (!guard) for (const {life} of stage.simulation.guards) life.kill()
    await this.guardsEnd()
    if (acting.result?.outcome === 'migrated') this.finished = true
  }

  /** Another operator has begun a duplication; it is adopted, after all rows were compared. */
  private async adopt(): Promise<void> {
    const {source, target} = this.stage.simulation
    if (this.state !== 'idle' || this.copyIsLeft || this.finished) return
    this.byHand = true
    source.state.duplications.add({appName: TABLE, isDuplicatingCheckpoint: true, remoteClusterName: target.name})
    this.foreign = true
    while (stateOf(this.stage.simulation) !== 'shipping') await this.watch(this.stage.simulation.sleep(200))
    this.byHand = false
    await this.whole('migrate')
    this.foreign = false
    await this.whole('migrate', {accepted: ['foreign-duplication'], verify: 'full'})
  }

  private async askStatus(): Promise<void> {
    const {simulation} = this.stage
    const before = snapshot(simulation)
    const {state} = await this.watch(simulation.status())
    assert.deepEqual(snapshot(simulation), before, 'status changed something')
    if (!this.spoiled) assert.ok(names[this.state].includes(state), `${this.state} is called ${state}`)
  }

  private async writeNode(side: 'source' | 'target'): Promise<void> {
    const {metas, name} = this.stage.simulation[side]
    this.byHand = true
    this.stage.simulation.zookeeper.put(NODE, formatNodeData(name, [...metas, ...metas].slice(0, 2)))
    await this.watch(this.stage.simulation.sleep(100))
    this.byHand = false
  }

  private async guardsEnd(): Promise<void> {
    while (this.stage.guardsAreAtWork) await this.watch(this.stage.simulation.sleep(500))
  }

  /** Lets time pass until it is settled, and looks at the state after every moment. */
  private async watch<T>(promise: Promise<T>): Promise<T> {
    const {clock} = this.stage.simulation
    let settled = false
    const end = () => {
      settled = true
    }

    promise.then(end, end)
    while (!settled) {
      await clock.advance(1)
      this.look()
    }

    return promise
  }

  private look(): void {
    const now = stateOf(this.stage.simulation)
    if (now === this.state) return
    const legal = this.byHand ? [...(movesByHand[this.state] ?? []), ...moves[this.state]] : moves[this.state]
    assert.ok(legal.includes(now), `from ${this.state} to ${now} is no legal move`)
    this.state = now
  }

  private assertHolds(): void {
    const {violation} = this.stage.overseer
    assert.equal(violation, undefined, violation?.message)
  }
}
