import assert from 'node:assert/strict'

import {expiryToleranceSeconds, openBothSides} from '../../../src/lib/migration/phases/both-sides.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {ScriptedMigration} from '../../support/scripted-migration.js'

describe('both sides, as they are read for a comparison', () => {
  it('are opened with the configurations of that moment', async () => {
    const script = new ScriptedMigration()
    script.target.appId = 9
    const {partitionCount, source, target} = await openBothSides(script.context, script.forward.signal)
    assert.equal(partitionCount, 2)
    assert.notEqual(source, target)
    assert.equal(script.state.targetAppId, 9)
    assert.deepEqual([...script.asked].sort(), ['source configuration', 'target configuration'])
  })

  it('are not opened for whoever has left, whichever side is asked', async () => {
    const leaving = new AbortController()
    leaving.abort(new Error('Ctrl-C'))
    for (const side of ['source', 'target'] as const) {
      const {context} = new ScriptedMigration()
      // The other one answers whatever happens.
      const configuration = async () => ({...context[side], ...new ScriptedMigration().source.configuration})
      const other = side === 'source' ? 'target' : 'source'
      const half = {...context, [other]: {configuration}} as unknown as typeof context
      await assert.rejects(openBothSides(half, leaving.signal), /Ctrl-C/)
    }
  })
})

describe('how far expiries may differ', () => {
  /** A table with a default expiry, whose duplication was added so long ago. */
  function withDefaultTtl(agoMs: number): ScriptedMigration {
    const script = new ScriptedMigration()
    script.source.envs.set('default_ttl', '86400')
    script.source.status = DuplicationStatus.DS_LOG
    script.source.createTsMs = script.clock.wallMs() - agoMs
    return script
  }

  it('is not at all, where the table gives none to rows without one', async () => {
    const script = withDefaultTtl(90_000)
    script.source.envs.delete('default_ttl')
    assert.equal(await expiryToleranceSeconds(script.context), 0)
    assert.deepEqual(script.asked, [], 'nothing is asked for it')
  })

  it('is the age of the duplication, and a minute for clocks that differ', async () => {
    assert.equal(await expiryToleranceSeconds(withDefaultTtl(90_000).context), 150)
    assert.equal(await expiryToleranceSeconds(withDefaultTtl(90_001).context), 151)
  })

  it("is a minute where the meta's clock is ahead", async () => {
    assert.equal(await expiryToleranceSeconds(withDefaultTtl(-30_000).context), 60)
  })
})
