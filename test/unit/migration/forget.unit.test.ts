import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {waitUntilForgotten, whoKnows} from '../../../src/lib/migration/forget.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {endsDuring} from '../../support/scripted-settings.js'
import {DUPID, FIRST, SECOND, ScriptedMigration} from '../../support/scripted-migration.js'

const lost = () => new MigratorError('rpc.timeout', 'no answer')

/** The metas have removed it; servers still know it. */
function removed(status = DuplicationStatus.DS_REMOVED): ScriptedMigration {
  const script = new ScriptedMigration()
  script.source.status = status
  return script
}

const optionsOf = ({abort, clock, context, report}: ScriptedMigration, dupid = DUPID) => ({
  appId: 2,
  clock,
  cluster: context.source,
  dupid,
  limitMs: 180_000,
  report,
  signal: abort.signal,
  table: 'users',
})

const knows = (script: ScriptedMigration, dupid = DUPID) => script.run(whoKnows(optionsOf(script, dupid)))
const forgotten = (script: ScriptedMigration) => script.run(waitUntilForgotten(optionsOf(script)))
/** Servers forget it so late. */
const forgets = (script: ScriptedMigration, atMs: number) =>
  script.clock.setTimer(atMs, () => {
    script.source.status = undefined
  })

describe('who knows a removed duplication', () => {
  it('is the meta, until it lists it as removed or no more; nobody else is asked before', async () => {
    const script = removed(DuplicationStatus.DS_LOG)
    assert.deepEqual(await knows(script), ['the meta'])
    assert.deepEqual(script.asked, ['source duplications'])
    script.source.status = undefined
    assert.deepEqual(await knows(script), [])
  })

  it('is every living server that reports it', async () => {
    const script = removed()
    assert.deepEqual(await knows(script), [FIRST, SECOND])
    script.source.primaries = [null, SECOND]
    script.source.dead.add(null as never)
    assert.deepEqual(await knows(script), [SECOND])
    script.source.dead.add(SECOND)
    script.asked.length = 0
    assert.deepEqual(await knows(script), [])
    assert.deepEqual(script.asked, ['source duplications', 'source nodes'])
  })

  it('is nobody who knows another one only', async () => {
    const script = removed()
    assert.deepEqual(await knows(script, DUPID + 1), [])
    script.source.status = undefined
    script.source.others = [{dupid: 8, remote: 'c'}]
    assert.deepEqual(await knows(script), [])
    assert.deepEqual(await knows(script, 8), ['the meta'])
  })
})

describe('waiting until a duplication is forgotten', () => {
  it('looks each second, and tells who still knows it', async () => {
    const script = removed(DuplicationStatus.DS_LOG)
    script.clock.setTimer(500, () => {
      script.source.status = DuplicationStatus.DS_REMOVED
    })
    forgets(script, 1500)
    await forgotten(script)
    assert.equal(script.clock.nowMs(), 2000)
    assert.deepEqual(script.reports, [
      {text: 'still known by the meta'},
      {text: `still known by ${FIRST}, ${SECOND}`},
      {text: 'every server has forgotten it'},
    ])
  })

  it('ends at its limit, and names who knows it', async () => {
    const script = removed()
    await assert.rejects(forgotten(script), {
      code: 'wait.limit',
      message: `removal of duplication 7: not there after 3 min; last seen: still known by ${FIRST}, ${SECOND}`,
    })
    assert.equal(script.clock.nowMs(), 180_000)
  })

  it('waits for a server that lives and does not answer', async () => {
    const script = removed()
    script.source.status = undefined
    script.failing(`source states ${FIRST}`, 3, lost())
    await forgotten(script)
    assert.equal(script.clock.nowMs(), 3000)
  })

  it('ends in the middle of an answer when the operator leaves', async () => {
    for (const question of ['source duplications', 'source nodes', `source states ${FIRST}`]) {
      const script = removed()
      await endsDuring(script, question, () => waitUntilForgotten(optionsOf(script)))
    }
  })

  it('ends with what cannot pass, and with the operator who leaves', async () => {
    const gone = new MigratorError('meta.error', 'no such table', {facts: {err: 'ERR_APP_NOT_EXIST'}})
    const script = removed()
    script.failing('source duplications', 1, gone)
    await assert.rejects(forgotten(script), gone)

    const leaving = removed()
    leaving.clock.setTimer(2500, () => leaving.abort.abort(new Error('Ctrl-C')))
    await assert.rejects(forgotten(leaving), /Ctrl-C/)
    assert.equal(leaving.clock.nowMs(), 2500)
  })
})
