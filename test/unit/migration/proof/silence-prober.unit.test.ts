import assert from 'node:assert/strict'

import {SilenceProber} from '../../../../src/lib/migration/proof/silence-prober.js'
import {type Answers, FIRST, ScriptedMigration} from '../../../support/scripted-migration.js'

/* One server that is primary of two partitions, round by round. */

const at = (partitionIndex: number, ballot = 3, server = FIRST) => ({ballot, partitionIndex, server})

class Scene {
  readonly answers = new Map<number, string>()
  checks = 0
  readonly script = new ScriptedMigration()
  readonly prober: SilenceProber

  constructor(...answers: Answers[]) {
    const {clock, context, source} = this.script
    source.primaries = answers.map(() => FIRST)
    source.answers = answers
    // One server answers for all of its partitions as the first of them is set to, so each gets a name of its own.
    source.primaries = answers.map((_, index) => `${FIRST}${index}`)
    this.prober = new SilenceProber({
      answers: this.answers,
      appId: 2,
      clock,
      cluster: context.source,
      partitionCount: answers.length,
      pool: context.client.pool,
      signal: this.script.abort.signal,
    })
  }

  primary(index: number, ballot = 3) {
    return at(index, ballot, `${FIRST}${index}`)
  }

  changes(atMs: number, index: number, to: Answers): void {
    this.script.clock.setTimer(atMs, () => {
      this.script.source.answers[index] = to
    })
  }

  async round(group = this.script.source.answers.map((_, index) => this.primary(index))) {
    const {clock} = this.script
    const sight = await clock.run(
      this.prober.waitForServer(group, () => {
        this.checks++
      }),
    )
    return {atMs: clock.nowMs(), ...sight}
  }
}

describe('a round of silence', () => {
  it('ends without anything when 5 s are over', async () => {
    const scene = new Scene('open', 'open')
    const {atMs, change, shown} = await scene.round()
    assert.deepEqual([change, shown], [undefined, []])
    assert.equal(atMs, 5100)
    assert.equal(scene.checks, 51)
    assert.match(scene.answers.get(0)!, new RegExp(`^${FIRST}0 answered writes: not-denied`))
  })

  it('ends with what is silent, where another partition of the server answers', async () => {
    const scene = new Scene('silent', 'open')
    const {atMs, change, shown} = await scene.round()
    assert.deepEqual(
      shown.map(({partitionIndex, sinceMs}) => [partitionIndex, sinceMs]),
      [[0, 0]],
    )
    assert.deepEqual(change, {afterMs: undefined, byMs: 0})
    assert.ok(atMs > 5000 && atMs <= 5300, String(atMs))
    assert.deepEqual([...scene.answers.keys()], [1])
  })

  it('goes on for silence that is about to count', async () => {
    const scene = new Scene('open')
    scene.changes(4050, 0, 'silent')
    const {atMs, change, shown} = await scene.round()
    assert.equal(shown.length, 1)
    assert.ok(atMs >= 7000 && atMs < 7600, String(atMs))
    assert.deepEqual(change, {afterMs: 4100, byMs: 4100})
  })

  it('does not go on for silence that only begins', async () => {
    const scene = new Scene('open')
    scene.changes(4950, 0, 'silent')
    const {atMs, shown} = await scene.round()
    assert.deepEqual([atMs, shown], [5100, []])
  })

  it('does not go on for silence that should have counted long ago', async () => {
    const scene = new Scene('deaf')
    const {atMs, shown} = await scene.round()
    assert.deepEqual(shown, [])
    assert.ok(atMs > 5000 && atMs <= 5300, String(atMs))
    assert.match(scene.answers.get(0)!, /leaves writes unanswered, and reads: refused/)
  })

  it('goes on for one partition though others are not silent at all', async () => {
    const scene = new Scene('silent', 'open', 'open')
    scene.changes(3050, 1, 'silent')
    const {atMs, shown} = await scene.round()
    assert.deepEqual(
      shown.map(({partitionIndex}) => partitionIndex),
      [0, 1],
    )
    assert.ok(atMs >= 6000 && atMs < 6700, String(atMs))
  })

  it('remembers the silence of the round before', async () => {
    const scene = new Scene('deaf')
    await scene.round()
    scene.script.source.answers[0] = 'silent'
    const {atMs, shown} = await scene.round()
    assert.deepEqual(
      shown.map(({sinceMs}) => sinceMs),
      [0],
    )
    assert.ok(atMs < 6500, String(atMs))
  })

  it('forgets it of a primary that moved, to another server or with another ballot', async () => {
    for (const moved of [at(0, 4, `${FIRST}0`), at(0, 3, `${FIRST}1`)]) {
      const scene = new Scene('deaf', 'deaf')
      await scene.round([scene.primary(0)])
      scene.script.source.answers = ['silent', 'silent']
      const {shown} = await scene.round([moved])
      assert.ok(shown[0]!.sinceMs > 5000, JSON.stringify(shown))
    }
  })

  it('looks for broken silence only where it is still wanted', async () => {
    const scene = new Scene('silent')
    await scene.round()
    assert.deepEqual(scene.prober.broken(), [])
    scene.script.source.answers[0] = 'open'
    await scene.script.clock.advance(1500)
    assert.deepEqual(scene.prober.broken(), [0])
    assert.deepEqual(scene.prober.broken(), [], 'it is told once')
  })

  it('no longer looks at a primary that moved', async () => {
    const scene = new Scene('silent')
    await scene.round()
    scene.script.source.answers[0] = 'open'
    await scene.round([scene.primary(0, 4)])
    assert.deepEqual(scene.prober.broken(), [])
  })

  it('ends with the run', async () => {
    const scene = new Scene('open')
    scene.script.clock.setTimer(1234, () => scene.script.abort.abort(new Error('Ctrl-C')))
    await assert.rejects(scene.round(), /Ctrl-C/)
    assert.equal(scene.script.clock.nowMs(), 1234)
  })

  it('ends with its caller’s time', async () => {
    const scene = new Scene('open')
    await assert.rejects(
      scene.script.clock.run(
        scene.prober.waitForServer([scene.primary(0)], () => {
          throw new Error('late')
        }),
      ),
      /late/,
    )
  })
})
