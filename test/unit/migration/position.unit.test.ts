import assert from 'node:assert/strict'

import {ExitCode} from '../../../src/lib/exit-codes.js'
import {locate} from '../../../src/lib/migration/position.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {DENY, DUPID, ScriptedMigration} from '../../support/scripted-migration.js'

const {DS_LOG, DS_PAUSE} = DuplicationStatus

function script(more: {deny?: string; node?: 'b' | 'none'; status?: DuplicationStatus} = {}): ScriptedMigration {
  const made = new ScriptedMigration()
  const {context, source, state} = made
  state.dupid = 0
  source.status = more.status
  if (more.deny !== undefined) source.envs.set(DENY, more.deny)
  if (more.node === 'b') made.writeNode('b', 9)
  if (more.node === 'none') {
    context.store = undefined
    delete context.request.metaproxy
  }

  return made
}

const found = (made: ScriptedMigration) => made.run(locate(made.context))

describe('the position of a migration', () => {
  it('is the beginning where nothing was denied, and nothing is known of it', async () => {
    const made = script({status: DS_LOG})
    const before = JSON.stringify(made.state)
    assert.equal(await found(made), 'begin')
    assert.equal(JSON.stringify(made.state), before)
    assert.deepEqual(made.asked.sort(), ['node users', 'source duplications', 'source table'])
  })

  it('is the beginning before a deny of somebody else, and before one that the journal does not know', async () => {
    const made = script({deny: 'timeout*write'})
    made.context.hints.deny = 'reconfig*write'
    assert.equal(await found(made), 'begin')
    assert.equal(await found(script({deny: 'reconfig*write'})), 'begin')
    assert.equal(made.state.denySet, false)
  })

  it('is the beginning where the journal knows of a deny that is gone', async () => {
    const made = script()
    made.context.hints.deny = 'reconfig*write'
    assert.equal(await found(made), 'begin')
  })

  describe('is an earlier deny of ours', () => {
    const denied = (more: Parameters<typeof script>[0] = {}) => {
      const made = script({deny: 'reconfig*write', status: DS_PAUSE, ...more})
      Object.assign(made.context.hints, {deny: 'reconfig*write', denyAtMs: 1234})
      made.state.adoptedForeign = true
      return made
    }

    it('whose switch may still be under way', async () => {
      const made = denied()
      assert.equal(await found(made), 'denied')
      const {adoptedForeign, commit, denySet, dupid, paused, window} = made.state
      assert.deepEqual(
        {adoptedForeign, commit, denySet, dupid, paused, window},
        {
          adoptedForeign: false,
          commit: 'uncertain',
          denySet: true,
          dupid: DUPID,
          paused: true,
          window: {setAtMs: 1234},
        },
      )
    })

    it('which has no switch without a node', async () => {
      const made = denied({node: 'none'})
      assert.equal(await found(made), 'denied')
      assert.equal(made.state.commit, 'none')
    })

    it('that ships on', async () => {
      const made = denied({status: DS_LOG})
      assert.equal(await found(made), 'denied')
      assert.equal(made.state.paused, false)
    })

    it('whose duplication is gone, or goes elsewhere', async () => {
      const made = denied()
      made.source.remote = 'c'
      assert.equal(await found(made), 'denied')
      assert.deepEqual([made.state.dupid, made.state.paused], [0, false])
    })
  })

  describe('is behind the switch', () => {
    it('once the node names the target', async () => {
      const made = script({deny: 'reconfig*write', node: 'b', status: DS_PAUSE})
      assert.equal(await found(made), 'committed')
      const {commit, denySet, dupid, nodeVersion, paused} = made.state
      assert.deepEqual(
        {commit, denySet, dupid, nodeVersion, paused},
        {commit: 'done', denySet: false, dupid: DUPID, nodeVersion: 9, paused: true},
      )
    })

    it('also where nothing is left of the duplication', async () => {
      const made = script({deny: 'reconfig*all', node: 'b'})
      assert.equal(await found(made), 'committed')
      assert.deepEqual([made.state.dupid, made.state.paused], [0, false])
    })

    it('also where it ships, once the source is closed', async () => {
      const made = script({deny: 'reconfig*all', node: 'b', status: DS_LOG})
      assert.equal(await found(made), 'committed')
      assert.equal(made.state.paused, false)
    })

    it('and not where somebody switched a source that still ships and was never drained', async () => {
      for (const deny of [undefined, 'reconfig*write']) {
        const made = script({node: 'b', status: DS_LOG, ...(deny === undefined ? {} : {deny})})
        await assert.rejects(found(made), {
          code: 'position.switched_undrained',
          exitCode: ExitCode.needsOperator,
          facts: {dupid: DUPID, sourceDeny: deny},
          message:
            "metaproxy's node of users names b, but duplication 7 still ships and the source was never drained: somebody switched it by hand",
          next: /name the source in the node again .*deny writes on the source/,
        })
        assert.equal(made.state.commit, 'none')
      }
    })
  })

  describe('without a node', () => {
    const worded = (more: Parameters<typeof script>[0] = {}) => {
      const made = script({deny: 'reconfig*write', node: 'none', status: DS_PAUSE, ...more})
      made.context.hints.word = true
      return made
    }

    it('is behind the switch once the word was given', async () => {
      const made = worded()
      assert.equal(await found(made), 'committed')
      assert.deepEqual([made.state.commit, made.state.dupid, made.state.nodeVersion], ['done', DUPID, undefined])
    })

    it('is behind the switch once this journal closed the source', async () => {
      const made = script({deny: 'reconfig*all', node: 'none'})
      assert.equal(await found(made), 'begin')
      made.context.hints.closed = true
      assert.equal(await found(made), 'committed')
      const other = script({deny: 'timeout*write', node: 'none'})
      other.context.hints.closed = true
      assert.equal(await found(other), 'begin')
    })

    it('is nowhere when the deny was taken off after the word', async () => {
      const made = worded()
      made.source.envs.clear()
      await assert.rejects(found(made), {
        code: 'position.reopened',
        message: /^the word was given that applications of users move to b, and since then .* is not on the target$/,
        next: /remove duplication 7, drop the copy on the target/,
      })
      made.source.status = undefined
      await assert.rejects(found(made), {code: 'position.reopened', next: /remove duplication \(none is left\), drop/})
    })

    it('counts no word where there is a node', async () => {
      const made = script()
      made.context.hints.word = true
      assert.equal(await found(made), 'begin')
    })

    it('needs no word where the node names the target all the same', async () => {
      const made = worded()
      made.context.store = new ScriptedMigration().context.store
      made.context.store!.read = async () => ({...made.node, data: {clusterName: 'b', metaAddresses: []}})
      made.source.envs.clear()
      assert.equal(await found(made), 'committed')
    })
  })

  it('is not told without an answer of each', async () => {
    for (const question of ['source duplications', 'source table', 'node users']) {
      const made = script()
      made.failing(question, 1, new Error(question))
      await assert.rejects(found(made), {message: question})
    }
  })

  it('is not told to an operator who leaves', async () => {
    const made = script()
    made.abort.abort(new Error('Ctrl-C'))
    await assert.rejects(found(made), /Ctrl-C/)
    assert.deepEqual(made.asked, [])
  })
})
