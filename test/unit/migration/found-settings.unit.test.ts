import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import type {Effect} from '../../../src/lib/migration/effects.js'
import {findSettings} from '../../../src/lib/migration/found-settings.js'
import {BATCH_BYTES, SYNC_INTERVAL} from '../../../src/lib/migration/settings.js'
import {FIRST, SECOND, ScriptedMigration} from '../../support/scripted-migration.js'
import {lowered, takes, unbatched} from '../../support/scripted-settings.js'

const lost = () => new MigratorError('rpc.timeout', 'no answer')

/** Every server is as a migration leaves it, and configured as servers are. */
function left(): ScriptedMigration {
  const script = new ScriptedMigration()
  const {config, configured} = script.source
  config.set(SYNC_INTERVAL, '1000')
  configured.set(SYNC_INTERVAL, ' 30000 ')
  configured.set(BATCH_BYTES, '4096')
  return script
}

interface Clues {
  known?: Effect[]
  othersDuplicate?: boolean
  servers?: string[]
}

function found(script: ScriptedMigration, {known = [], othersDuplicate = false, servers = [FIRST]}: Clues = {}) {
  const {abort, context} = script
  return script.run(findSettings(context.source, {known, othersDuplicate, servers}, {signal: abort.signal}))
}

describe('settings that no journal knows of', () => {
  it('are those that a migration sets and that are configured otherwise', async () => {
    assert.deepEqual(await found(left(), {servers: [SECOND, FIRST]}), [
      lowered(FIRST),
      lowered(SECOND),
      unbatched(FIRST),
      unbatched(SECOND),
    ])
  })

  it('are none that have another value, or are configured so', async () => {
    const script = left()
    script.source.config.set(SYNC_INTERVAL, '1001')
    script.source.configured.set(BATCH_BYTES, ' 0 ')
    assert.deepEqual(await found(script), [])
  })

  it('are asked for in the configuration only where one is found', async () => {
    const script = left()
    script.source.config.set(SYNC_INTERVAL, '30000')
    script.source.config.set(`${SECOND} ${BATCH_BYTES}`, '4096')
    assert.deepEqual(await found(script, {servers: [FIRST, SECOND]}), [unbatched(FIRST)])
    assert.deepEqual(
      script.asked.filter((question) => question.includes('dump')),
      [`source dump ${FIRST}`],
    )
  })

  it('are none that the configuration does not name', async () => {
    const script = left()
    const {source} = script.context
    const unnamed = {
      ...source,
      server: (address: string) =>
        Object.assign(source.server(address), {
          configDump: async () => ({
            get: (section: string, name: string) =>
              section === 'replication' && name === BATCH_BYTES ? '4096' : undefined,
          }),
        }),
    }
    const clues = {known: [], othersDuplicate: false, servers: [FIRST]}
    assert.deepEqual(await script.run(findSettings(unnamed as never, clues, {})), [unbatched()])
  })

  it('are looked for where no other table is duplicated', async () => {
    const script = left()
    assert.deepEqual(await found(script, {othersDuplicate: true}), [])
    assert.deepEqual(script.asked, [])
  })

  it('are none that are known: of the same server and name', async () => {
    const script = left()
    const known = [lowered(FIRST, {before: '20000'}), unbatched(SECOND), unbatched(FIRST, {side: 'target'})]
    assert.deepEqual(await found(script, {known, servers: [FIRST, SECOND]}), [lowered(SECOND), unbatched(FIRST)])
    const all = [lowered(), unbatched()]
    script.asked.length = 0
    assert.deepEqual(await found(script, {known: all}), [])
    assert.deepEqual(script.asked, [])
  })

  it('are found on the others where a server does not answer', async () => {
    const script = left()
    script.failing(`source config ${FIRST} ${SYNC_INTERVAL}`, 1, lost())
    script.failing(`source dump ${SECOND}`, 1, lost())
    assert.deepEqual(await found(script, {servers: [FIRST, SECOND, '10.0.0.3:34801']}), [
      lowered('10.0.0.3:34801'),
      unbatched('10.0.0.3:34801'),
    ])
  })

  it('are asked for on eight servers at a time', async () => {
    const script = left()
    const servers = Array.from({length: 9}, (_, index) => `10.0.0.${index + 1}:34801`)
    for (const server of servers) takes(script, `source dump ${server}`, 500)
    const all = findSettings(script.context.source, {known: [], othersDuplicate: false, servers}, {})
    assert.equal((await script.run(all)).length, 18)
    assert.equal(script.clock.nowMs(), 1000)
  })

  it('end with what cannot pass, and with the operator who leaves', async () => {
    const bug = new TypeError('a bug')
    const script = left()
    script.failing(`source dump ${FIRST}`, 1, bug)
    await assert.rejects(found(script), bug)

    const leaving = left()
    leaving.onAsk = () => {
      leaving.abort.abort(new Error('Ctrl-C'))
      throw lost()
    }

    await assert.rejects(found(leaving), /Ctrl-C/)
  })
})
