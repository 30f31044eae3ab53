import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {LiveEffects} from '../../../src/lib/migration/effects-live.js'
import type {Effect, EffectOutcome} from '../../../src/lib/migration/effects.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {lost, RecordedClusters, refused} from '../../support/recorded-clusters.js'

const SERVER = '10.0.0.1:34801'
const leader = {patienceMs: 60_000, signal: 'ours'}

function perform({abort, clock, options}: RecordedClusters, effect: Effect): Promise<EffectOutcome> {
  return clock.run(new LiveEffects(options).perform(effect, abort.signal))
}

describe('an effect that looks at what there is', () => {
  let clusters: RecordedClusters

  beforeEach(() => {
    clusters = new RecordedClusters()
  })

  describe('a duplication that is added', () => {
    const add: Effect = {kind: 'add-duplication', remoteCluster: 'b'}
    const adding = ['source addDuplication', {checkpoint: true, remoteCluster: 'b', table: 'users'}, leader]
    const looking = ['source duplications', 'users', leader]
    const other = {dupid: 3, remote: 'c', status: DuplicationStatus.DS_LOG}
    const ours = {dupid: 7, remote: 'b', status: DuplicationStatus.DS_PREPARE}

    const meets = (answer: Error | number, entries: object[]) => {
      clusters.answers['source addDuplication'] = () => {
        if (answer instanceof Error) throw answer
        return {appId: 2, dupid: answer}
      }

      clusters.answers['source duplications'] = () => entries
    }

    it('begins with a copy, and has the number that the meta gave it', async () => {
      meets(1, [])
      assert.deepEqual(await perform(clusters, add), {dupid: 1})
      assert.deepEqual(clusters.asked, [adding])
    })

    it('is looked for in the list when its answer was lost, not added again', async () => {
      meets(lost, [other, ours])
      assert.deepEqual(await perform(clusters, add), {dupid: 7})
      assert.deepEqual(clusters.asked, [adding, looking])
    })

    it('is lost where the list does not have it', async () => {
      meets(lost, [other])
      await assert.rejects(perform(clusters, add), lost)
      assert.deepEqual(clusters.asked, [adding, looking])
    })

    it('remains in doubt where the list cannot be read', async () => {
      meets(lost, [])
      const away = new MigratorError('meta.no_leader', 'no leader')
      clusters.fails('source duplications', away)
      await assert.rejects(perform(clusters, add), away)
    })

    it('was not added where a meta says so, or a bug does', async () => {
      for (const error of [refused('ERR_DUP_EXIST'), new TypeError('a bug')]) {
        clusters = new RecordedClusters()
        meets(error, [ours])
        await assert.rejects(perform(clusters, add), error)
        assert.deepEqual(clusters.asked, [adding])
      }
    })

    it('is not looked for by who was told to stop', async () => {
      const why = new Error('Ctrl-C')
      meets(0, [])
      clusters.answers['source addDuplication'] = () => {
        clusters.abort.abort(why)
        throw lost
      }

      await assert.rejects(perform(clusters, add), why)
      assert.deepEqual(clusters.asked, [adding])
    })

    const exists = "the source's meta answered ERR_OK with dupid 0: a duplication of users to b exists already"
    for (const [title, entries, message] of [
      ['which', [other, ours], `${exists} (dupid 7, DS_PREPARE)`],
      ['that much', [other], exists],
    ] as const)
      it(`is somebody else’s where the meta gives it no number, and ${title} is told`, async () => {
        meets(0, [...entries])
        await assert.rejects(perform(clusters, add), {
          code: 'duplicate.exists',
          message,
          next: 'Find out whose it is: pegasus table:migrate with --accept foreign-duplication adopts it after a full verify.',
        })
        assert.deepEqual(clusters.asked, [adding, looking])
      })
  })

  describe('a setting of a server', () => {
    const setting = (side: 'source' | 'target'): Effect => ({
      before: '30000',
      kind: 'set-server-config',
      name: 'interval',
      server: SERVER,
      side,
      value: '1000',
    })

    for (const [shown, text] of [
      ['30000', '30000'],
      [undefined, 'undefined'],
    ] as const)
      it(`is not kept where the server shows ${text} afterwards`, async () => {
        for (const side of ['source', 'target'] as const) {
          clusters.answers[`${side} ${SERVER} config`] = () => shown
          await assert.rejects(perform(clusters, setting(side)), {
            code: 'server.config_not_kept',
            facts: {name: 'interval', server: SERVER},
            message: `10.0.0.1:34801 answered ERR_OK to interval=1000 but shows ${text}`,
            next: 'Look at the log of 10.0.0.1:34801, or restart it. The same command goes on from here.',
          })
        }

        assert.deepEqual(
          clusters.questions,
          ['source', 'target'].flatMap((side) => [`${side} ${SERVER} updateConfig`, `${side} ${SERVER} config`]),
        )
      })

    it('is in doubt where it cannot be read back', async () => {
      clusters.fails(`source ${SERVER} config`, lost)
      await assert.rejects(perform(clusters, setting('source')), lost)
    })
  })

  describe('the target’s table', () => {
    const drop: Effect = {appId: 5, kind: 'drop-target-table', reserveSeconds: 60}
    const looking = ['target table', 'users', leader]

    it('is dropped already where it is not there', async () => {
      assert.deepEqual(await perform(clusters, drop), {})
      assert.deepEqual(clusters.asked, [looking])
    })

    it('is left alone where it is another one of the same name', async () => {
      clusters.answers['target table'] = () => ({appId: 6})
      await assert.rejects(perform(clusters, drop), {
        code: 'drop.other_table',
        facts: {expected: 5, found: 6},
        message: "the target's users has table id 6, not 5: somebody made a new one",
        next: 'Find out who did; nothing was dropped.',
      })
      assert.deepEqual(clusters.asked, [looking])
    })

    it('is looked at again by who asks again after a lost answer', async () => {
      const found = [{appId: 5}]
      clusters.answers['target table'] = () => found.pop()
      clusters.fails('target dropTable', lost)
      await assert.rejects(perform(clusters, drop), lost)
      assert.deepEqual(await perform(clusters, drop), {})
      assert.deepEqual(clusters.questions, ['target table', 'target dropTable', 'target table'])
    })
  })
})
