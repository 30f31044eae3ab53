import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import type {MigrationContext} from '../../../src/lib/migration/context.js'
import {tellDeniedNow, tellForeignDeny} from '../../../src/lib/migration/denied-now.js'
import type {UnstampedEvent} from '../../../src/lib/migration/events.js'
import {DENY, ScriptedMigration} from '../../support/scripted-migration.js'

const VALUE = 'reconfig*write'
const away = new MigratorError('meta.no_leader', 'no meta answers')
const refusal = (checks?: string) => new MigratorError('preflight.refused', 'refused', {facts: {checks}})
const held = new MigratorError('lock.held', 'somebody has it')

const left = {
  code: 'deny.left',
  message:
    'users is still write-denied on the source by an earlier run. To have writes allowed again: pegasus table:migrate-rollback -t users',
  type: 'warning',
}
const foreign = {
  code: 'deny.there',
  message:
    'users is write-denied on the source at this moment (replica.deny_client_request=reconfig*write), by another command or by hand. Who works on it: pegasus table:migrate-status -t users',
  type: 'warning',
}
const unread = {
  code: 'deny.unread',
  message: 'whether users is write-denied on the source at this moment cannot be read: no meta answers',
  type: 'warning',
}

describe('a migrate that goes no further', () => {
  let script: ScriptedMigration

  /** What it says when it was refused for `error`. */
  const tells = async (expected: object[], error: unknown = refusal()) => {
    await script.run(tellDeniedNow(script.context, error))
    assert.deepEqual(script.events, expected)
    script.events.length = 0
  }

  const cannotRead = (question: 'node users' | 'source table') => script.failing(question, Infinity, away)

  const withHints = (hints: Partial<MigrationContext['hints']>) => {
    Object.assign(script.context.hints, {deny: VALUE}, hints)
  }

  beforeEach(() => {
    script = new ScriptedMigration()
    script.source.envs.set(DENY, VALUE)
  })

  it('quotes a name for the shell', async () => {
    script = new ScriptedMigration({table: 'a table'})
    script.source.envs.set(DENY, VALUE)
    await script.run(tellDeniedNow(script.context, refusal()))
    withHints({})
    await script.run(tellDeniedNow(script.context, refusal()))
    const commands = script.words.map((text) => text.slice(text.indexOf('pegasus ')))
    assert.deepEqual(commands, [
      "pegasus table:migrate-status -t 'a table'",
      "pegasus table:migrate-rollback -t 'a table'",
    ])
  })

  it('looks for its own deny as long as need be, for another’s no longer than 3 s, and until it is told to stop', async () => {
    const {context} = script
    const limits: {signal: AbortSignal}[] = []
    context.source = {
      async table(_: string, given: {signal: AbortSignal}) {
        limits.push(given)
      },
    } as never
    withHints({})
    await tells([])
    const {forward: signal} = context
    assert.deepEqual(limits, [{signal}, {patienceMs: 3000, signal, timeoutMs: 3000}])
    assert.ok(limits.every((given) => given.signal === signal))
  })

  describe('after a run that denied writes', () => {
    beforeEach(() => withHints({}))

    it('tells that its deny is still there, and nothing else', async () => {
      await tells([left])
      assert.deepEqual(script.asked, ['source table', 'node users'])
    })

    it('tells so where the node cannot be read', async () => {
      cannotRead('node users')
      await tells([left])
    })

    it('tells that it was left, and not whether it is, where the source cannot be read', async () => {
      cannotRead('source table')
      const message =
        'users was left write-denied on the source by an earlier run, and whether it still is cannot be read. To have writes allowed again: pegasus table:migrate-rollback -t users'
      await tells([{...left, message}])
      script.writeNode('b')
      await tells([])
    })

    it('tells so where the table has no node', async () => {
      script = new ScriptedMigration({}, {store: undefined})
      script.source.envs.set(DENY, VALUE)
      withHints({})
      await tells([left])
    })

    it('does not where the table was handed over, as far as the run or the node tells', async () => {
      for (const hints of [{closed: true}, {word: true}]) {
        script.context.hints = {settings: []}
        withHints(hints)
        await tells([foreign])
      }

      script.context.hints = {settings: []}
      withHints({})
      script.writeNode('b')
      await tells([])
      cannotRead('source table')
      await tells([])
    })

    it('does not where it is gone, or another one is there', async () => {
      script.source.envs.delete(DENY)
      await tells([])
      script.source.envs.set(DENY, 'timeout*read')
      const message = foreign.message.replace(VALUE, 'timeout*read')
      await tells([{...foreign, message}])
      script.source.isThere = false
      await tells([])
    })

    it('leaves it to who holds the lock', () => tells([foreign], held))
  })

  describe('where nothing was denied by an earlier run', () => {
    it('tells of a deny that is there', async () => {
      await tells([foreign])
      assert.deepEqual(script.asked, ['source table', 'node users'])
    })

    it('says nothing where there is none', async () => {
      script.source.envs.delete(DENY)
      await tells([])
      script.source.isThere = false
      await tells([])
    })

    it('says nothing of what belongs to a table that was handed over', async () => {
      script.writeNode('b')
      await tells([])
      cannotRead('source table')
      await tells([])
    })

    it('tells of it where the node cannot be read, or there is none', async () => {
      cannotRead('node users')
      await tells([foreign])
      script = new ScriptedMigration({}, {store: undefined})
      script.source.envs.set(DENY, VALUE)
      await tells([foreign])
    })

    it('tells that it cannot be read', async () => {
      cannotRead('source table')
      await tells([unread])
    })

    it('does not tell again what Preflight told', async () => {
      await tells([], refusal('source-table, source-deny'))
      assert.deepEqual(script.asked, [])
      await tells([foreign], refusal('source-table'))
      await tells([foreign], new MigratorError('other', 'refused', {facts: {checks: 'source-deny'}}))
      await tells([foreign], new TypeError('a bug'))
    })

    it('does not ask where Preflight could read nothing', async () => {
      delete script.state.facts
      await tells([])
      assert.deepEqual(script.asked, [])
    })
  })
})

describe('a deny that is not the command’s own', () => {
  const told = async (read: () => Promise<string | undefined>) => {
    const events: UnstampedEvent[] = []
    await tellForeignDeny('users', (event) => events.push(event), read)
    return events
  }

  it('is told where there is one, and where nobody can tell', async () => {
    assert.deepEqual(await told(async () => VALUE), [foreign])
    assert.deepEqual(await told(async () => undefined), [])
    assert.deepEqual(await told(() => Promise.reject(away)), [unread])
  })
})
