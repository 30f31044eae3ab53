import assert from 'node:assert/strict'

import {isMigratorError, MigratorError} from '../../../../src/lib/errors.js'
import {type DenyProofOptions, proveEverywhere, type Wanted} from '../../../../src/lib/migration/proof/deny.js'
import {FIRST, ScriptedMigration, SECOND} from '../../../support/scripted-migration.js'

/* Two servers, three partitions: 0 and 2 on the first one, 1 on the second one. */

const passing = () => new MigratorError('meta.error', 'no leader')

class Scene {
  readonly progress: unknown[] = []
  readonly script = new ScriptedMigration()

  constructor(readonly wanted: Wanted) {
    const {source} = this.script
    source.primaries = [FIRST, SECOND, FIRST]
    source.ballots = [3, 3, 3]
    source.answers = ['open', 'open', 'open']
  }

  /** Both of its servers change at these times. */
  changes(to: 'closed' | 'open' | 'refusing' | 'silent', firstMs: number, secondMs: number): void {
    const {clock, source} = this.script
    clock.setTimer(firstMs, () => {
      source.answers[0] = to
    })
    clock.setTimer(secondMs, () => {
      source.answers[1] = to
    })
  }

  prove(more: Partial<DenyProofOptions> = {}) {
    const {clock, context} = this.script
    return this.script.run(
      proveEverywhere({
        clock,
        cluster: context.source,
        limitMs: 30_000,
        onProgress: (seen) => this.progress.push(seen),
        pool: context.client.pool,
        signal: this.script.abort.signal,
        table: 'users',
        wanted: this.wanted,
        ...more,
      }),
    )
  }

  asked(question: string): number {
    return this.script.asked.filter((one) => one === question).length
  }
}

describe('a proof on every primary', () => {
  it('is there at once where all of them show it, asking each of them once', async () => {
    const scene = new Scene('writable')
    const {clock} = scene.script
    const proof = await scene.prove()
    assert.deepEqual(
      [...proof.primaries.values()].sort((a, b) => a.partitionIndex - b.partitionIndex),
      [
        {ballot: 3, partitionIndex: 0, server: FIRST, sinceMs: 0},
        {ballot: 3, partitionIndex: 1, server: SECOND, sinceMs: 0},
        {ballot: 3, partitionIndex: 2, server: FIRST, sinceMs: 0},
      ],
    )
    assert.deepEqual(
      [...proof.changes].sort(),
      [FIRST, SECOND].map((server) => [server, {afterMs: undefined, byMs: 0}]),
    )
    assert.deepEqual([proof.firstAtMs, proof.lastAtMs, proof.spreadMs], [clock.wallMs(), clock.wallMs(), 0])
    assert.deepEqual([scene.asked(`write ${FIRST}`), scene.asked(`write ${SECOND}`)], [2, 1])
    assert.equal(scene.asked(`read ${FIRST}`), 0)
    // The primaries are looked at again before they are believed.
    assert.equal(scene.asked('source configuration'), 2)
  })

  it('tells who changed, and how many partitions are proved', async () => {
    const scene = new Scene('reconfig-write')
    scene.changes('refusing', 250, 1050)
    await scene.prove()
    assert.deepEqual(scene.progress, [
      {last: `${FIRST} (2 partitions)`, partitionCount: 3, proved: 2},
      {last: `${SECOND} (1 partition)`, partitionCount: 3, proved: 3},
    ])
  })

  it('tells when each server changed, as far as probes can tell', async () => {
    const scene = new Scene('reconfig-write')
    const {clock} = scene.script
    await clock.advance(1000)
    scene.changes('refusing', 250, 1050)
    const startMs = clock.wallMs()
    const proof = await scene.prove()
    assert.deepEqual(proof.changes.get(FIRST), {afterMs: 1200, byMs: 1300})
    assert.deepEqual(proof.changes.get(SECOND), {afterMs: 2000, byMs: 2100})
    assert.deepEqual([proof.firstAtMs - startMs, proof.lastAtMs - startMs, proof.spreadMs], [300, 1100, 800])
    assert.equal(proof.primaries.get(2)?.sinceMs, 1300)
  })

  it('looks every 100 ms, at one partition of a server until it changes', async () => {
    const scene = new Scene('reconfig-write')
    scene.changes('refusing', 950, 950)
    await scene.prove()
    // Eleven looks at the first partition, one at the other; the second one: eleven.
    assert.deepEqual([scene.asked(`write ${FIRST}`), scene.asked(`write ${SECOND}`)], [12, 11])
  })

  it('counts a refused write only beside a read that is served', async () => {
    const scene = new Scene('reconfig-write')
    scene.script.source.answers = ['closed', 'refusing', 'refusing']
    scene.script.clock.setTimer(2000, () => {
      scene.script.source.answers[0] = 'refusing'
    })
    await scene.prove()
    assert.equal(scene.script.clock.nowMs(), 2000)
  })

  it('of a closed source counts only beside a meta that lists the server as alive', async () => {
    const scene = new Scene('reconfig-all')
    scene.script.source.answers = ['closed', 'closed', 'closed']
    const {cluster} = {cluster: scene.script.context.source}
    const nodes = cluster.nodes.bind(cluster)
    cluster.nodes = async (limits) => {
      const all = await nodes(limits)
      return scene.script.clock.nowMs() < 3000 ? all.map((node) => ({...node, alive: false})) : all
    }

    await scene.prove()
    const tookMs = scene.script.clock.nowMs()
    assert.ok(tookMs >= 3000 && tookMs <= 3700, String(tookMs))
    // One question for all that ask within half a second.
    assert.ok(scene.asked('source nodes') <= 1 + 3700 / 500, String(scene.asked('source nodes')))
  })

  it('of a closed source bears a meta that does not answer for a while', async () => {
    const scene = new Scene('reconfig-all')
    scene.script.source.answers = ['closed', 'closed', 'closed']
    scene.script.failing('source nodes', 2, passing())
    await scene.prove()
    scene.script.failing('source nodes', 1, new TypeError('a bug'))
    await assert.rejects(scene.prove(), /a bug/)
  })

  it('of a closed source looks at reads first, and at writes beside them', async () => {
    const scene = new Scene('reconfig-all')
    scene.script.source.answers = ['refusing', 'closed', 'refusing']
    await assert.rejects(scene.prove({limitMs: 1000}), (error) => {
      assert.ok(isMigratorError(error, 'deny.not_proved'))
      assert.match(
        error.message,
        /not every primary is seen to refuse reads and writes; last answers: partition 0: 10\.0\.0\.1:34801 answered reads: ok \(error 1\)$/,
      )
      return true
    })
    assert.equal(scene.asked(`write ${FIRST}`), 0)
  })

  it('of a closed source does not take a primary for closed that refuses reads alone', async () => {
    const scene = new Scene('reconfig-all')
    scene.script.source.answers = ['unread', 'closed', 'closed']
    await assert.rejects(scene.prove({limitMs: 1000}), (error) => {
      assert.ok(isMigratorError(error, 'deny.not_proved'))
      assert.match(
        error.message,
        /partition 0: 10\.0\.0\.1:34801 answered writes: not-denied \(error 13\), reads: refused$/,
      )
      return true
    })
  })

  it('asks all partitions of a server at once when one of them has changed', async () => {
    const scene = new Scene('writable')
    const {source} = scene.script
    source.primaries = [FIRST, FIRST, FIRST, FIRST]
    source.ballots = [3, 3, 3, 3]
    scene.script.onAsk = (question) =>
      question.startsWith('write')
        ? new Promise((resolve) => {
            scene.script.clock.setTimer(50, resolve)
          })
        : undefined
    await scene.prove()
    assert.equal(scene.script.clock.nowMs(), 100)
  })

  describe('is given up', () => {
    for (const [wanted, answers, words] of [
      [
        'reconfig-write',
        'open',
        /users: after 2 s not every primary is seen to refuse writes; last answers: partition 0: 10\.0\.0\.1:34801 answered writes: not-denied \(error 13\); partition 1: 10\.0\.0\.2:34801 answered/,
      ],
      [
        'reconfig-write',
        'closed',
        /partition 0: 10\.0\.0\.1:34801 answered writes: denied-reconfig \(ERR_INVALID_STATE\), reads: refused/,
      ],
      ['writable', 'refusing', /not every primary is seen to accept writes; .* answered writes: denied-reconfig/],
      ['timeout-write', 'open', /not every primary is seen to leave writes unanswered; .* answered writes: not-denied/],
    ] as const) {
      it(`once the limit is over: ${wanted} where all are ${answers}`, async () => {
        const scene = new Scene(wanted)
        scene.script.source.answers = [answers, answers, answers]
        await assert.rejects(scene.prove({limitMs: 2000}), (error) => {
          assert.ok(isMigratorError(error, 'deny.not_proved'))
          assert.match(error.message, words)
          assert.equal(error.facts.table, 'users')
          assert.equal(error.facts.wanted, wanted)
          return true
        })
        const tookMs = scene.script.clock.nowMs()
        assert.ok(tookMs > 2000 && tookMs < 3000, String(tookMs))
      })
    }

    it('where no meta tells the primaries, with the error that it told instead', async () => {
      const scene = new Scene('writable')
      scene.script.failing('source configuration', Number.POSITIVE_INFINITY, passing())
      await assert.rejects(scene.prove({limitMs: 2000}), (error: Error) => {
        assert.ok(isMigratorError(error, 'deny.not_proved'))
        assert.match(error.message, /last answers: none$/)
        assert.ok(isMigratorError(error.cause, 'meta.error'))
        assert.deepEqual(error.facts, {partitionsWithout: 0, table: 'users', wanted: 'writable'})
        return true
      })
      assert.equal(scene.asked('source configuration'), 4)
    })

    it('at once with what cannot pass, and with the run', async () => {
      const scene = new Scene('writable')
      scene.script.failing('source configuration', 1, new TypeError('a bug'))
      await assert.rejects(scene.prove(), /a bug/)
      scene.script.source.answers = ['refusing', 'open', 'open']
      scene.script.clock.setTimer(350, () => scene.script.abort.abort(new Error('Ctrl-C')))
      await assert.rejects(scene.prove(), /Ctrl-C/)
      assert.equal(scene.script.clock.nowMs(), 350)
    })
  })

  it('tells of five partitions at most', async () => {
    const scene = new Scene('writable')
    const {source} = scene.script
    source.primaries = Array.from({length: 7}, (_, index) => `10.0.0.${index}:34801`)
    source.ballots = source.primaries.map(() => 3)
    source.answers = source.primaries.map(() => 'refusing')
    await assert.rejects(scene.prove({limitMs: 1000}), (error) => {
      assert.ok(isMigratorError(error, 'deny.not_proved'))
      assert.equal(error.message.match(/partition \d/g)?.length, 5)
      assert.equal(error.facts.partitionsWithout, 7)
      return true
    })
  })

  describe('looks where the primaries are', () => {
    it('again after 5 s of a server that does not change', async () => {
      const scene = new Scene('reconfig-write')
      const {clock, source} = scene.script
      source.answers = ['refusing', 'open', 'refusing']
      clock.setTimer(2000, () => {
        source.primaries[1] = FIRST
        source.ballots[1] = 4
      })
      const proof = await scene.prove()
      assert.deepEqual(proof.primaries.get(1), {ballot: 4, partitionIndex: 1, server: FIRST, sinceMs: clock.nowMs()})
      assert.ok(clock.nowMs() > 5000 && clock.nowMs() < 5300, String(clock.nowMs()))
    })

    it('again, and proves anew what has moved meanwhile', async () => {
      const scene = new Scene('writable')
      const {source} = scene.script
      let looks = 0
      scene.script.onAsk = (question) => {
        if (question === 'source configuration' && ++looks === 2) source.ballots[0] = 9
      }

      const proof = await scene.prove()
      assert.equal(proof.primaries.get(0)?.ballot, 9)
      assert.deepEqual([looks, scene.asked(`write ${FIRST}`)], [3, 3])
    })

    it('waiting for one that is missing', async () => {
      const scene = new Scene('writable')
      const {clock, source} = scene.script
      source.primaries[1] = null
      clock.setTimer(1500, () => {
        source.primaries[1] = SECOND
      })
      const proof = await scene.prove()
      assert.equal(proof.primaries.size, 3)
      assert.equal(clock.nowMs(), 2000)
    })
  })

  it('finds writes accepted soon where a server leaves them unanswered until then', async () => {
    const scene = new Scene('writable')
    scene.script.source.answers = ['silent', 'open', 'open']
    scene.changes('open', 1000, 1000)
    await scene.prove()
    const tookMs = scene.script.clock.nowMs()
    assert.ok(tookMs >= 1000 && tookMs < 1800, String(tookMs))
  })

  describe('of silence', () => {
    it('takes 3 s of it beside reads that are served, on all partitions of a server once one is silent', async () => {
      const scene = new Scene('timeout-write')
      const {clock} = scene.script
      scene.changes('silent', 1000, 2000)
      clock.setTimer(1000, () => {
        scene.script.source.answers[2] = 'silent'
      })
      const proof = await scene.prove()
      const tookMs = clock.nowMs()
      assert.ok(tookMs >= 5000 && tookMs < 5700, String(tookMs))
      assert.ok(proof.spreadMs >= 900 && proof.spreadMs <= 1100, String(proof.spreadMs))
      const {afterMs, byMs} = proof.changes.get(FIRST)!
      assert.ok(afterMs! >= 900 && afterMs! <= 1000 && byMs - afterMs! <= 200, JSON.stringify([afterMs, byMs]))
      assert.equal(proof.primaries.size, 3)
    })

    it('is proved anew where it ends before all show it', async () => {
      const scene = new Scene('timeout-write')
      const {clock, source} = scene.script
      source.answers = ['silent', 'open', 'silent']
      clock.setTimer(6000, () => {
        source.answers[0] = 'open'
      })
      clock.setTimer(8000, () => {
        source.answers = ['silent', 'silent', 'silent']
      })
      const proof = await scene.prove()
      assert.ok(proof.primaries.get(0)!.sinceMs > 7900, JSON.stringify([...proof.primaries.values()]))
      assert.ok(clock.nowMs() >= 11_000 && clock.nowMs() < 17_000, String(clock.nowMs()))
    })

    it('leaves nobody watched when it is over', async () => {
      const scene = new Scene('timeout-write')
      const {clock, source} = scene.script
      source.answers = ['silent', 'silent', 'silent']
      await scene.prove()
      const asked = scene.script.asked.length
      await clock.advance(20_000)
      assert.equal(scene.script.asked.length, asked)
    })

    it('counts anew on a primary that moved', async () => {
      const scene = new Scene('timeout-write')
      const {clock, source} = scene.script
      source.answers = ['silent', 'open', 'silent']
      clock.setTimer(7000, () => {
        source.primaries[0] = SECOND
        source.ballots[0] = 4
        source.answers = ['silent', 'silent', 'silent']
      })
      const proof = await scene.prove()
      const {server, sinceMs} = proof.primaries.get(0)!
      assert.equal(server, SECOND)
      assert.ok(sinceMs >= 7000, String(sinceMs))
    })
  })
})
