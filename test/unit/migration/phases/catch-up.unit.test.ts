import assert from 'node:assert/strict'

import {isMigratorError, MigratorError} from '../../../../src/lib/errors.js'
import type {MigrationContext} from '../../../../src/lib/migration/context.js'
import {catchUp} from '../../../../src/lib/migration/phases/catch-up.js'
import type {MigrationRequest} from '../../../../src/lib/migration/request.js'
import {runPhases} from '../../../../src/lib/migration/runner.js'
import {DuplicationStatus} from '../../../../src/lib/rpc/structs/duplication.js'
import {DENY, FIRST, ScriptedMigration, SECOND} from '../../../support/scripted-migration.js'

const noLeader = () => new MigratorError('meta.error', 'no leader')

/** The duplication ships. */
function shipping(request: Partial<MigrationRequest> = {}, more: Partial<MigrationContext> = {}): ScriptedMigration {
  const script = new ScriptedMigration({thresholdMutations: 100, ...request}, more)
  script.source.status = DuplicationStatus.DS_LOG
  for (const partition of script.source.partitions) Object.assign(partition, {committed: 100_000, prepared: 100_000})
  return script
}

/** Both partitions are so far behind from then on. */
function lagsAt(script: ScriptedMigration, atMs: number, ...gaps: number[]): void {
  const apply = () => {
    for (const [index, gap] of gaps.entries()) script.source.partitions[index]!.gap = gap
  }

  if (atMs === 0) apply()
  else script.clock.setTimer(atMs, apply)
}

async function run(script: ScriptedMigration) {
  const {error, timings} = await script.run(runPhases(script.context, [catchUp]))
  return {error: error as MigratorError | undefined, summary: timings[0]!.summary}
}

const progress = (script: ScriptedMigration, step: string) =>
  script.events.flatMap((event) => (event.type === 'progress' && event.step === step ? [event.progress] : []))
const PENDING = 'wait until the pending mutations are few'
const MOVES = 'wait until shipping is seen to move'
const SHORT = 'wait until the cutover can be short'

describe('catching up', () => {
  it('takes three looks at few pending mutations, a second apart; and five at a cutover that would fit', async () => {
    const script = shipping()
    const {error, summary} = await run(script)
    assert.equal(error, undefined)
    assert.equal(progress(script, PENDING).length, 3)
    assert.equal(progress(script, SHORT).length, 5)
    assert.equal(script.clock.nowMs(), 2000 + 2000)
    assert.equal(summary, '0 mutations pending')
    assert.equal(script.state.readyAtMs, script.clock.nowMs())
    assert.deepEqual(script.performed, [])
  })

  it('tells what is pending, the worst partition and how long it takes', async () => {
    const script = shipping()
    lagsAt(script, 0, 4102, 200)
    lagsAt(script, 1500, 2102, 200)
    lagsAt(script, 3500, 2, 22)
    lagsAt(script, 9000, 0, 0)
    const {summary} = await run(script)
    const told = progress(script, PENDING)
    assert.deepEqual(told[0], {
      lagMutations: 4300,
      partitionCount: 2,
      partitionsDone: 2,
      text: '4,300 mutations pending, threshold 100',
      worst: told[0]!.worst,
    })
    assert.match(told[0]!.worst!, /^partition 0 on 10\.0\.0\.1:34801: 4102 behind$/)
    // 2,000 in 2 s; 2,200 are left above the threshold.
    assert.equal(told[2]?.etaMs, 2200)
    assert.equal(told.length, 7)
    assert.equal(told.at(-1)!.etaMs, 0)
    assert.equal(summary, '22 mutations pending')
  })

  it('counts its looks anew after one that is above the threshold', async () => {
    const script = shipping()
    lagsAt(script, 1500, 500, 0)
    lagsAt(script, 2500, 50, 0)
    lagsAt(script, 9000, 0, 0)
    assert.equal((await run(script)).error, undefined)
    // Two, one above, three.
    assert.equal(progress(script, PENDING).length, 6)
  })

  it('counts its looks anew while a partition does not ship', async () => {
    const script = shipping()
    script.source.duplicating = false
    script.clock.setTimer(4500, () => {
      script.source.duplicating = true
    })
    assert.equal((await run(script)).error, undefined)
    const told = progress(script, PENDING)
    assert.equal(told.length, 8)
    assert.equal(told[0]?.partitionsDone, 0)
    assert.doesNotMatch(told[0]!.text, /pending/)
  })

  it('bears what does not answer, and tells it', async () => {
    const script = shipping()
    script.failing('source duplications', 2, noLeader())
    assert.equal((await run(script)).error, undefined)
    assert.deepEqual(
      progress(script, PENDING)
        .slice(0, 2)
        .map(({text}) => text),
      ['waiting: no leader', 'waiting: no leader'],
    )
  })

  it('ends with its time, saying what is pending', async () => {
    const script = shipping({limits: {...shipping().context.request.limits, catchUpMs: 5000}})
    lagsAt(script, 0, 4102, 0)
    const {error} = await run(script)
    assert.ok(isMigratorError(error, 'wait.limit'))
    assert.match(
      error.message,
      /^catching up of users: not there after 5 s; last seen: 4,10\d mutations pending; partition 0/,
    )
  })

  describe('that stands still', () => {
    const limits = {...shipping().context.request.limits, stallMs: 30_000}

    it('is given up, with what is wrong with the target', async () => {
      for (const [spoil, sentence] of [
        [() => {}, 'The target itself looks healthy\\.'],
        [(script: ScriptedMigration) => script.target.envs.set(DENY, 'reconfig*write'), "The target's users carries"],
        [
          (script: ScriptedMigration) => script.failing('target table', 99, noLeader()),
          'The target could not be read: no leader\\.',
        ],
      ] as const) {
        const script = shipping({limits})
        lagsAt(script, 0, 4102, 0)
        spoil(script)
        const {error} = await run(script)
        assert.ok(isMigratorError(error, 'catch-up.stalled'))
        assert.match(
          error.message,
          new RegExp(`^users: the lag did not fall for 30 s; 4,10\\d mutations pending, partition 0 .*${sentence}`),
        )
        assert.match(error.next!, /raise --threshold/)
        assert.ok(script.clock.nowMs() >= 30_000 && script.clock.nowMs() < 32_000, String(script.clock.nowMs()))
      }
    })

    it('does so although its lag goes up and down', async () => {
      const script = shipping({limits})
      lagsAt(script, 0, 4102, 0)
      for (let second = 1; second < 60; second++) lagsAt(script, second * 1000 - 500, 4102 + (second % 2) * 50, 0)
      assert.ok(isMigratorError((await run(script)).error, 'catch-up.stalled'))
      assert.ok(script.clock.nowMs() < 33_000, String(script.clock.nowMs()))
    })

    it('does not while it comes to new lows', async () => {
      const script = shipping({limits})
      lagsAt(script, 0, 4102, 0)
      for (let step = 1; step <= 4; step++) lagsAt(script, step * 25_000, step === 4 ? 0 : 4102 - step * 1020, 0)
      assert.equal((await run(script)).error, undefined)
      assert.ok(script.clock.nowMs() > 100_000, String(script.clock.nowMs()))
    })

    it('says so where nothing could be read', async () => {
      const script = shipping({limits})
      script.failing('source duplications', 999, noLeader())
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'catch-up.stalled'))
      assert.match(error.message, /did not fall for 30 s; nothing could be read\. The target itself looks healthy\.$/)
    })
  })

  describe('needs a duplication', () => {
    it('that is in DS_LOG', async () => {
      const script = shipping()
      script.source.status = DuplicationStatus.DS_PAUSE
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'duplicate.not_log'))
      assert.equal(error.message, 'duplication 7 of users is in DS_PAUSE, not DS_LOG: somebody changed it')
      assert.match(error.next!, /running the same command again goes on from here/)
    })

    it('that is there', async () => {
      const script = shipping()
      script.source.status = undefined
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'duplicate.vanished'))
      assert.equal(error.message, 'duplication 7 of users to b is gone: somebody removed it')
    })
  })

  describe('keeps the order of overwrites', () => {
    it('from the beginning, on every server', async () => {
      const script = shipping()
      script.source.config.set(`${SECOND} duplicate_log_batch_bytes`, '4096')
      script.afterEffect = () => void script.source.config.delete(`${SECOND} duplicate_log_batch_bytes`)
      assert.equal((await run(script)).error, undefined)
      assert.deepEqual(script.kinds, ['set-server-config'])
      assert.match(script.state.fullVerifyBecause!, /was not 0 on 10\.0\.0\.2:34801 for a while/)
    })

    it('and again every 10 s, where a server came back', async () => {
      const script = shipping()
      lagsAt(script, 0, 4102, 0)
      script.clock.setTimer(3000, () => script.source.config.set('duplicate_log_batch_bytes', '4096'))
      const setAtMs: number[] = []
      script.afterEffect = () => {
        setAtMs.push(script.clock.nowMs())
        script.source.config.set('duplicate_log_batch_bytes', '0')
      }

      lagsAt(script, 25_500, 0, 0)
      assert.equal((await run(script)).error, undefined)
      assert.deepEqual(setAtMs, [10_000, 10_000])
      const looks = script.asked.filter((question) => question === `source config ${FIRST} duplicate_log_batch_bytes`)
      // The first, and at 10 s and 20 s.
      assert.equal(looks.length, 3)
    })

    it('and stops a balancer that a new leader let run', async () => {
      const script = shipping()
      lagsAt(script, 0, 4102, 0)
      script.clock.setTimer(3000, () => {
        script.source.metaLevel = 500
      })
      lagsAt(script, 12_500, 0, 0)
      await run(script)
      assert.deepEqual(script.performed.slice(0, 1), [
        {before: 'lively', kind: 'set-meta-level', level: 'steady', side: 'source'},
      ])
    })

    it('asks nobody in a rehearsal', async () => {
      const script = shipping({}, {dryRun: true})
      assert.equal((await run(script)).error, undefined)
      assert.deepEqual([script.asked, script.performed], [[], []])
    })

    it('though a meta does not answer for a moment', async () => {
      const script = shipping()
      script.failing(`source config ${FIRST} duplicate_log_batch_bytes`, 2, noLeader())
      assert.equal((await run(script)).error, undefined)
    })
  })

  it('needs a target that is fit', async () => {
    const script = shipping()
    script.target.primaries[1] = null
    const {error} = await run(script)
    assert.ok(isMigratorError(error, 'target.unfit'))
    assert.match(error.message, /Partitions 1 have no primary on the target/)
  })

  describe('sees that shipping moves', () => {
    it('where all but what rests was shipped', async () => {
      const script = shipping()
      lagsAt(script, 0, 5, 1)
      lagsAt(script, 6500, 1, 1)
      assert.equal((await run(script)).error, undefined)
      const told = progress(script, MOVES)
      assert.deepEqual(told[0], {
        partitionCount: 2,
        partitionsDone: 1,
        text: 'everything that was committed before is being shipped',
      })
      assert.equal(told.at(-1)?.partitionsDone, 2)
      assert.ok(script.clock.nowMs() >= 6500, String(script.clock.nowMs()))
    })

    it('of what was there when it began to look, not of what came since', async () => {
      const script = shipping()
      lagsAt(script, 0, 5, 0)
      script.clock.setTimer(4500, () => Object.assign(script.source.partitions[0]!, {committed: 100_090, gap: 90}))
      lagsAt(script, 9000, 0, 0)
      assert.equal((await run(script)).error, undefined)
    })

    it('or names the partitions that do not', async () => {
      const script = shipping({limits: {...shipping().context.request.limits, stallMs: 20_000}})
      lagsAt(script, 0, 5, 5)
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'catch-up.stalled'))
      assert.equal(
        error.message,
        'users: nothing ships from partitions 0, 1 for 20 s. The target itself looks healthy.',
      )
      assert.match(error.next!, /^Mend the target; the duplication is kept/)
    })

    it('and is patient while another one moves', async () => {
      const script = shipping({limits: {...shipping().context.request.limits, stallMs: 10_000}})
      lagsAt(script, 0, 5, 9)
      for (let step = 1; step <= 8; step++) lagsAt(script, step * 8000, 5, 9 - step)
      lagsAt(script, 66_000, 1, 1)
      assert.equal((await run(script)).error, undefined)
      assert.ok(script.clock.nowMs() >= 66_000, String(script.clock.nowMs()))
    })

    it('in its time', async () => {
      const script = shipping({limits: {...shipping().context.request.limits, catchUpMs: 6000}})
      lagsAt(script, 0, 5, 0)
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'wait.limit'))
      assert.equal(
        error.message,
        'shipping of users: not there after 6 s; last seen: what was committed before is still to ship: partition 0',
      )
    })

    it('over looks that fail', async () => {
      const script = shipping()
      lagsAt(script, 0, 5, 0)
      lagsAt(script, 6500, 0, 0)
      script.clock.setTimer(3500, () => script.failing(`source replicas ${FIRST}`, 1, noLeader()))
      assert.equal((await run(script)).error, undefined)
      assert.ok(progress(script, MOVES).some(({text}) => text === 'waiting: no leader'))
    })
  })

  describe('waits for a cutover that fits', () => {
    it('as long as a partition ships too slowly', async () => {
      const script = shipping({maxWriteDenyMs: 80_000, thresholdMutations: 10_000})
      const {source} = script
      // 10 a second, and some 3,000 to go: 300 s.
      const tick = () => {
        for (const partition of source.partitions)
          Object.assign(partition, {committed: partition.committed + 5, prepared: partition.prepared + 5})
        script.clock.setTimer(500, tick)
      }

      script.clock.setTimer(2100, () => {
        Object.assign(source.partitions[1]!, {committed: 103_000, gap: 3000})
        tick()
      })
      lagsAt(script, 20_000, 0, 0)
      const {error} = await run(script)
      assert.equal(error, undefined)
      const told = progress(script, SHORT).map(({text}) => text)
      assert.ok(
        told.some((text) =>
          /^what partition 1 on 10\.0\.0\.2:34801 has to ship takes [23]\d\d s to ship: the cutover would not fit into --max-write-deny$/.test(
            text,
          ),
        ),
        [...new Set(told)].join('\n'),
      )
      assert.ok(script.clock.nowMs() >= 20_000, String(script.clock.nowMs()))
      assert.equal(told.at(-1), 'the cutover would fit into --max-write-deny (seen 4 of 5 times)')
    })

    it('as long as something is wrong, and counts anew', async () => {
      const script = shipping()
      script.clock.setTimer(3100, () => script.target.envs.set(DENY, 'x'))
      script.clock.setTimer(5100, () => script.target.envs.delete(DENY))
      assert.equal((await run(script)).error, undefined)
      const told = progress(script, SHORT).map(({text}) => text)
      assert.ok(
        told.some((text) => text.startsWith("The target's users carries")),
        told.join('\n'),
      )
      assert.equal(script.clock.nowMs(), 5500 + 2000)
    })

    it('and says at its limit why it does not', async () => {
      const script = shipping({limits: {...shipping().context.request.limits, catchUpMs: 8000}})
      script.clock.setTimer(3100, () => script.target.envs.set(DENY, 'x'))
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'wait.limit'))
      assert.match(
        error.message,
        /^readiness of users for the cutover: not there after 8 s; last seen: The target's users carries/,
      )
    })

    it('over looks that fail', async () => {
      const script = shipping()
      script.clock.setTimer(3100, () => script.failing('target table', 1, noLeader()))
      assert.equal((await run(script)).error, undefined)
      assert.ok(progress(script, SHORT).some(({text}) => text === 'waiting: no leader'))
    })

    it('not again within half a minute', async () => {
      const script = shipping()
      script.state.readyAtMs = 0
      await run(script)
      assert.equal(progress(script, SHORT).length, 0)
      const later = shipping()
      later.state.readyAtMs = -28_000
      await run(later)
      assert.equal(progress(later, SHORT).length, 5)
    })
  })
})
