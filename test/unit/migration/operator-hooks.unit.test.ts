import assert from 'node:assert/strict'

import {sleep} from '../../../src/lib/clock.js'
import {MigratorError} from '../../../src/lib/errors.js'
import type {MigrationEvent, MigrationRequest} from '../../../src/lib/migration/index.js'
import {
  type HookEnd,
  type HookFacts,
  type HookMoment,
  hookMoments,
  type OperatorHooks,
} from '../../../src/lib/migration/operator-hooks/moments.js'
import type {RollbackEvent} from '../../../src/lib/migration/rollback/index.js'
import {assertServes, envOf} from '../../simulation/judge.js'
import {type DriveOptions, Simulation} from '../../simulation/simulation.js'

/** Hooks that note what they were told, and fail where they are told to. */
class NotedHooks implements OperatorHooks {
  readonly heard: (HookFacts & {denied: boolean; limitMs: number})[] = []
  fails: Partial<Record<HookMoment, string>> = {}
  isDenied = () => false
  only: readonly HookMoment[] = hookMoments
  tookMs = 100

  constructor(private readonly simulation: () => Simulation) {}

  get moments(): HookMoment[] {
    return this.heard.map(({moment}) => moment)
  }

  has(moment: HookMoment): boolean {
    return this.only.includes(moment)
  }

  async run(facts: HookFacts, {limitMs}: {limitMs: number; signal: AbortSignal}): Promise<HookEnd> {
    this.heard.push({...facts, denied: this.isDenied(), limitMs})
    await sleep(this.simulation().clock, this.tookMs)
    const failure = this.fails[facts.moment]
    const lines = [`seen ${facts.moment}`, ...(failure === undefined ? [] : [failure])]
    return {lines, ok: failure === undefined, text: failure === undefined ? 'exit code 0' : 'exit code 3', tookMs: 100}
  }
}

describe("operators' hooks", function () {
  this.timeout(60_000)
  let simulation: Simulation
  let hooks: NotedHooks

  beforeEach(() => {
    hooks = new NotedHooks(() => simulation)
  })

  afterEach(() => simulation?.stop())

  async function run(request: Partial<MigrationRequest> = {}, drive: DriveOptions = {}) {
    simulation = await Simulation.open({})
    hooks.isDenied = () => envOf(simulation.source) !== undefined
    const driver = simulation.migrate({...drive, operatorHooks: hooks}, request)
    return {driver, result: await simulation.run(driver.result)}
  }

  const inWindow = {hooks: {inWindow: true, limitMs: 30_000}}
  const isHook = (event: MigrationEvent | RollbackEvent) => event.type === 'hook'

  it('are run in the order of the migration, and not while writes are denied', async () => {
    const {driver, result} = await run()
    assert.equal(result.outcome, 'migrated')
    assert.deepEqual(hooks.moments, ['validated', 'before-deny', 'after-switch', 'finished'])
    assert.deepEqual(
      hooks.heard.filter(({denied}) => denied).map(({moment}) => moment),
      // By then the source refuses everyone for good, and the target serves.
      ['after-switch', 'finished'],
    )
    const output = driver.events.filter((event) => isHook(event) && 'state' in event && event.state === 'output')
    assert.equal(output.length, 4)
    await assertServes(simulation, 'target')
  })

  it('are told what is so', async () => {
    await run(inWindow)
    const [validated, , drained] = hooks.heard
    const {source, target} = simulation
    assert.equal(validated!.table, 'users')
    assert.deepEqual(validated!.source, {cluster: source.name, metas: source.metas})
    assert.deepEqual(validated!.target, {cluster: target.name, metas: target.metas})
    assert.equal(validated!.dupid, undefined)
    assert.equal(drained!.moment, 'drained')
    assert.ok(drained!.dupid! > 0)
    assert.ok(drained!.writeDeny.drainedAtMs! > 0)
    const last = hooks.heard.at(-1)!
    assert.deepEqual([last.moment, last.outcome], ['finished', 'migrated'])
    assert.ok(last.writeDeny.windowMs! > 0)
  })

  it('are run within the window when that is asked for, with less time', async () => {
    const {result} = await run(inWindow)
    assert.equal(result.outcome, 'migrated')
    assert.deepEqual(hooks.moments, [
      'validated',
      'before-deny',
      'drained',
      'before-switch',
      'after-switch',
      'finished',
    ])
    const limits = new Map(hooks.heard.map(({limitMs, moment}) => [moment, limitMs]))
    assert.deepEqual(
      [limits.get('before-deny'), limits.get('drained'), limits.get('before-switch')],
      [30_000, 12_000, 12_000],
    )
    assert.ok(hooks.heard.filter(({denied}) => denied).length >= 2)
  })

  it('stop the migration before anything is changed when validated fails', async () => {
    hooks.fails = {validated: 'not tonight'}
    const {result} = await run()
    assert.deepEqual([result.outcome, result.error?.code], ['refused', 'hook.refused'])
    assert.match(result.error!.message, /hook validated: exit code 3 \(it said: not tonight\)/)
    assert.equal(simulation.source.table('users').info.duplicating, false)
    assert.deepEqual(hooks.moments, ['validated', 'failed'])
    assert.equal(hooks.heard.at(-1)!.error?.code, 'hook.refused')
  })

  it('stop the migration before the deny when before-deny fails', async () => {
    hooks.fails = {'before-deny': 'the release is still running'}
    const {result} = await run()
    assert.deepEqual([result.outcome, result.error?.code], ['stopped', 'hook.refused'])
    assert.equal(result.writeDeny.setAtMs, undefined)
    assert.deepEqual(hooks.moments, ['validated', 'before-deny', 'failed'])
    await assertServes(simulation, 'source')
  })

  for (const moment of ['drained', 'before-switch'] as const) {
    it(`take the cutover back when ${moment} fails`, async () => {
      hooks.fails = {[moment]: 'stop'}
      const {result} = await run(inWindow)
      assert.deepEqual([result.outcome, result.error?.code], ['stopped', 'hook.refused'])
      assert.deepEqual(hooks.moments.slice(-2), ['rolled-back', 'failed'])
      const rolledBack = hooks.heard.at(-2)!
      assert.equal(rolledBack.denied, false)
      assert.ok(rolledBack.writeDeny.liftedAtMs! > 0)
      await assertServes(simulation, 'source')
    })
  }

  it('are told of every cutover that is taken back, and of the end', async () => {
    let strikes = 1
    const {result} = await run(
      {},
      {
        wrapEffects: (live) => ({
          perform(effect, signal) {
            if (effect.kind === 'pause-duplication' && strikes-- > 0)
              throw new MigratorError('rpc.timeout', 'the meta did not answer')
            return live.perform(effect, signal)
          },
        }),
      },
    )
    assert.equal(result.outcome, 'migrated')
    assert.deepEqual(hooks.moments, [
      'validated',
      'before-deny',
      'rolled-back',
      'before-deny',
      'after-switch',
      'finished',
    ])
  })

  it('cannot stop what only goes forward: a failure is a warning', async () => {
    hooks.fails = {'after-switch': 'no', finished: 'no'}
    const {result} = await run()
    assert.equal(result.outcome, 'migrated')
    assert.deepEqual(
      result.warnings.filter((warning) => warning.startsWith('hook')),
      ['hook after-switch: exit code 3 (it said: no)', 'hook finished: exit code 3 (it said: no)'],
    )
  })

  it('behind the switch are run by the run that goes on, when the one that switched died before', async () => {
    const {driver} = await runUntil((event) => event.type === 'effect' && event.effect.kind === 'close-source')
    assert.deepEqual(hooks.moments, ['validated', 'before-deny'])
    assert.equal(driver.life.isAlive, false)
    const again = simulation.migrate({operatorHooks: hooks})
    assert.equal((await simulation.run(again.result)).outcome, 'migrated')
    assert.deepEqual(hooks.moments.slice(2), ['after-switch', 'finished'])
    // Finished by now: there is nothing to be told of.
    assert.equal((await simulation.run(simulation.migrate({operatorHooks: hooks}).result)).outcome, 'migrated')
    assert.deepEqual(hooks.moments.slice(4), ['finished'])
  })

  it('behind the switch are not run twice', async () => {
    await runUntil((event) => event.type === 'phase-started' && 'phase' in event && event.phase === 'finish')
    assert.equal(hooks.moments.at(-1), 'after-switch')
    const again = simulation.migrate({operatorHooks: hooks})
    assert.equal((await simulation.run(again.result)).outcome, 'migrated')
    assert.deepEqual(hooks.moments.slice(-2), ['after-switch', 'finished'])
  })

  /** A run that is killed when it says that. */
  async function runUntil(isThen: (event: MigrationEvent | RollbackEvent) => boolean) {
    simulation = await Simulation.open({guard: false})
    const driver = simulation.migrate({
      onEvent(event, life) {
        if (isThen(event)) life.kill()
      },
      operatorHooks: hooks,
    })
    await simulation.until('the end of the driver', () => !driver.life.isAlive, 3_600_000)
    return {driver}
  }

  it('are run only where there is one', async () => {
    hooks.only = ['finished']
    await run(inWindow)
    assert.deepEqual(hooks.moments, ['finished'])
  })
})
