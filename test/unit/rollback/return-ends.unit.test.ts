import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {closeTarget, openSource, takeReturnBack} from '../../../src/lib/migration/rollback/return.js'
import {copy} from '../../support/rollback-view.js'
import {CLOSED, REFUSING, ScriptedReturn} from '../../support/scripted-return.js'

const passing = () => new MigratorError('meta.error', 'it may pass')
const targetWith = (deny: string) => ({cluster: 'b', metas: [], table: {...copy, deny, followerEnvs: {}}})

describe('a return opens the source', () => {
  it('whatever happened to its signal, and tells for how long writes were denied', async () => {
    const scene = new ScriptedReturn()
    const {clock} = scene.script
    scene.denyBoth()
    await clock.advance(4000)
    scene.script.abort.abort(new Error('Ctrl-C'))
    assert.equal(
      await scene.run(openSource),
      `every primary of a accepts writes; they were denied for ${(clock.nowMs() / 1000).toFixed(1)} s`,
    )
    assert.deepEqual(scene.script.kinds, ['lift-deny'])
    const {returned, writableAfterMs} = scene.context.state
    assert.deepEqual([returned, writableAfterMs], [true, clock.nowMs()])
  })

  it('counts from its own beginning where it denied nothing itself', async () => {
    const scene = new ScriptedReturn()
    const {clock} = scene.script
    await clock.advance(4000)
    scene.context.startMs = 3000
    const text = await scene.run(openSource)
    assert.ok(text.endsWith(`for ${((clock.nowMs() - 3000) / 1000).toFixed(1)} s`), text)
    assert.equal(scene.context.state.writableAfterMs, clock.nowMs() - 3000)
  })
})

describe('a return closes the target', () => {
  it('so that it refuses everyone, proved', async () => {
    const scene = new ScriptedReturn()
    scene.denyBoth()
    scene.script.abort.abort(new Error('Ctrl-C'))
    assert.equal(await scene.run(closeTarget), 'b refuses every client of it')
    assert.deepEqual(scene.script.performed, [{before: REFUSING, kind: 'close-target', value: CLOSED}])
    assert.equal(scene.script.reports.at(-1)?.text, 'the target refuses everyone')
  })

  it('not before the last server of it does', async () => {
    const scene = new ScriptedReturn()
    scene.denyBoth()
    const {afterEffect, clock, target} = scene.script
    scene.script.afterEffect = (effect) => {
      afterEffect(effect)
      target.answers[0] = 'refusing'
      clock.setTimer(20_000, () => {
        target.answers[0] = 'closed'
      })
    }

    await scene.run(closeTarget)
    assert.ok(clock.nowMs() >= 20_000, `after ${clock.nowMs()} ms`)
  })
})

describe('a return that is taken back', () => {
  const back = (scene: ScriptedReturn) => scene.script.run(takeReturnBack(scene.context))

  it('opens the target, proves it, and closes the source again', async () => {
    const scene = new ScriptedReturn()
    scene.denyBoth()
    scene.script.abort.abort(new Error('Ctrl-C'))
    await back(scene)
    assert.deepEqual(scene.script.performed, [
      {before: null, kind: 'lift-target'},
      {before: REFUSING, kind: 'close-source', value: CLOSED},
    ])
    assert.deepEqual(scene.denies, [CLOSED, undefined])
    assert.equal(scene.context.state.targetDenied, false)
    assert.ok(scene.script.reports.some(({text}) => text === 'the target accepts writes'))
  })

  it('waits for the last server of the target before it closes the source', async () => {
    const scene = new ScriptedReturn()
    scene.denyBoth()
    const {afterEffect, clock, target} = scene.script
    let closedAtMs = 0
    scene.script.afterEffect = (effect) => {
      afterEffect(effect)
      if (effect.kind === 'close-source') closedAtMs = clock.nowMs()
      if (effect.kind !== 'lift-target') return
      target.answers[1] = 'refusing'
      clock.setTimer(20_000, () => {
        target.answers[1] = 'open'
      })
    }

    await back(scene)
    assert.ok(closedAtMs >= 20_000, `after ${closedAtMs} ms`)
  })

  it('insists on both', async () => {
    const scene = new ScriptedReturn()
    scene.denyBoth()
    const left: Record<string, number> = {'close-source': 20, 'lift-target': 20}
    scene.script.onEffect = ({kind}) => {
      if (left[kind]!-- > 0) throw passing()
    }

    await back(scene)
    assert.deepEqual(scene.script.kinds, ['lift-target', 'close-source'])
    const words = scene.script.words.join('\n')
    for (const what of ['opening the target again', 'closing the source again']) assert.ok(words.includes(what), words)
  })

  it('does nothing behind its commit point', async () => {
    const scene = new ScriptedReturn()
    scene.denyBoth()
    scene.context.state.returned = true
    await back(scene)
    assert.deepEqual([scene.script.performed, scene.script.asked], [[], []])
  })

  it('changes nothing that it has not changed', async () => {
    const scene = new ScriptedReturn()
    await back(scene)
    assert.deepEqual(scene.script.performed, [])
    assert.deepEqual(scene.denies, [CLOSED, undefined])
  })

  it('opens what an earlier one left denied, and puts back what was there before', async () => {
    const left = new ScriptedReturn({target: targetWith(REFUSING)})
    left.become('target', REFUSING)
    await back(left)
    assert.deepEqual(left.script.performed, [{before: null, kind: 'lift-target'}])
    const other = new ScriptedReturn({target: targetWith('timeout*write')})
    other.context.state.targetDenied = true
    other.script.afterEffect = () => other.become('target', undefined)
    await back(other)
    assert.deepEqual(other.script.performed, [{before: 'timeout*write', kind: 'lift-target'}])
  })

  it('closes nothing where the table is gone', async () => {
    const scene = new ScriptedReturn()
    scene.script.source.isThere = false
    await back(scene)
    assert.deepEqual(scene.script.performed, [])
  })
})
