import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import type {PrimaryAt} from '../../../src/lib/migration/context.js'
import {momentToDeny, rememberTicks, TickWatch, waitForMoment} from '../../../src/lib/migration/tick-phases.js'
import {FIRST, ScriptedMigration, SECOND} from '../../support/scripted-migration.js'

const HOUR_MS = 3_600_000

describe('what servers show of their syncs', () => {
  let migration: ScriptedMigration
  /** What a primary answers a probe: by default it carries it out. */
  let answers: Map<string, string>
  let starts: Map<string, string>

  beforeEach(() => {
    migration = new ScriptedMigration()
    answers = new Map()
    starts = new Map([
      [FIRST, 'today'],
      [SECOND, 'yesterday'],
    ])
    const {source} = migration.context
    const server = source.server.bind(source)
    source.server = ((address: string) => ({
      ...server(address),
      async startTime() {
        await migration.onAsk(`start ${address}`)
        migration.asked.push(`start ${address}`)
        return starts.get(address)
      },
    })) as never
    const ask = migration.onAsk
    migration.onAsk = async (question) => {
      await ask(question)
      const error = question.startsWith('write ') ? answers.get(question.slice('write '.length)) : undefined
      if (error !== undefined) throw new MigratorError('rpc.server_error', 'refused', {facts: {error}})
    }
  })

  const primaries = (...servers: string[]): Map<number, PrimaryAt> =>
    new Map(servers.map((server, partitionIndex) => [partitionIndex, {ballot: 3, partitionIndex, server}]))
  const both = primaries(FIRST, SECOND)
  const flag = (...servers: string[]) => {
    for (const address of servers) answers.set(address, 'ERR_OPERATION_DISABLED')
  }

  const look = (watch: TickWatch, where = both) => migration.run(watch.look(where))
  const ticks = () => Object.fromEntries(migration.state.ticks ?? [])

  it('is when they first refuse atomic writes, after they last did not', async () => {
    const watch = new TickWatch(migration.context, 0)
    await migration.clock.advance(1000)
    await look(watch)
    assert.deepEqual(ticks(), {})
    await migration.clock.advance(4000)
    flag(SECOND)
    await look(watch)
    assert.deepEqual(ticks(), {[SECOND]: {afterMs: 1000, byMs: 5000, startTime: 'yesterday'}})
    const wallMs = migration.clock.wallMs()
    assert.deepEqual(migration.records, [
      {kind: 'ticks', servers: {[SECOND]: {afterMs: wallMs - 4000, byMs: wallMs, startTime: 'yesterday'}}},
    ])
  })

  it('is after the duplication was added, where they refuse at the first look', async () => {
    await migration.clock.advance(7000)
    flag(FIRST)
    await look(new TickWatch(migration.context, 5000))
    assert.deepEqual(ticks(), {[FIRST]: {afterMs: 5000, byMs: 7000, startTime: 'today'}})
  })

  it('is bounded by when a probe was sent and when it was answered', async () => {
    const watch = new TickWatch(migration.context, 0)
    const answer = migration.onAsk
    migration.onAsk = async (question) => {
      if (question.startsWith('write ')) await wait(300)
      await answer(question)
    }

    await look(watch)
    flag(FIRST, SECOND)
    await look(watch)
    assert.deepEqual(ticks()[FIRST], {afterMs: 0, byMs: 600, startTime: 'today'})
  })

  it('is asked of one primary of each server, until it has shown it', async () => {
    const watch = new TickWatch(migration.context, 0)
    const probes = () => migration.asked.filter((question) => question.startsWith('write '))
    migration.source.primaries = [FIRST, FIRST, SECOND]
    migration.source.answers = ['open', 'open', 'open']
    await look(watch, primaries(FIRST, FIRST, SECOND))
    assert.deepEqual(probes().sort(), [`write ${FIRST}`, `write ${SECOND}`])
    assert.deepEqual(migration.asked.filter((question) => question.startsWith('start ')).sort(), [
      `start ${FIRST}`,
      `start ${SECOND}`,
    ])
    flag(FIRST)
    await look(watch)
    migration.asked.length = 0
    await look(watch)
    assert.deepEqual(migration.asked, [`write ${SECOND}`])
  })

  it('is believed with the start that was read first', async () => {
    const watch = new TickWatch(migration.context, 0)
    await look(watch)
    starts.set(FIRST, 'just now')
    flag(FIRST)
    await look(watch)
    assert.equal(ticks()[FIRST]!.startTime, 'today')
  })

  it('is nothing where a probe is refused for another reason', async () => {
    const watch = new TickWatch(migration.context, 100)
    await migration.clock.advance(200)
    answers.set(FIRST, 'ERR_INVALID_STATE')
    await look(watch)
    assert.deepEqual([ticks(), migration.records], [{}, []])
    await migration.clock.advance(200)
    flag(FIRST)
    await look(watch)
    assert.equal(ticks()[FIRST]!.afterMs, 100)
  })

  it('is not asked on master, before a duplication was added, or where servers sync all the time', async () => {
    flag(FIRST, SECOND)
    migration.source.generation = 'master'
    await look(new TickWatch(migration.context, 0))
    migration.source.generation = '2.5'
    await look(new TickWatch(migration.context, undefined))
    migration.state.timers = {configSyncMs: 1999, groupCheckMs: 10_000}
    await look(new TickWatch(migration.context, 0))
    assert.deepEqual(migration.asked, [])
    migration.state.timers = {configSyncMs: 2000, groupCheckMs: 10_000}
    await look(new TickWatch(migration.context, 0))
    assert.deepEqual(Object.keys(ticks()).sort(), [FIRST, SECOND])
  })

  describe('is remembered', () => {
    const change = {afterMs: 1000.4, byMs: 2000.6}
    const remember = (changes: [string, {afterMs: number | undefined; byMs: number}][]) =>
      rememberTicks(migration.context, new Map(changes), starts)

    it('in whole milliseconds of the wall clock, and exactly here', async () => {
      await remember([[FIRST, change]])
      const toWallMs = migration.clock.wallMs() - migration.clock.nowMs()
      assert.deepEqual(ticks(), {[FIRST]: {...change, startTime: 'today'}})
      assert.deepEqual(migration.records, [
        {
          kind: 'ticks',
          servers: {[FIRST]: {afterMs: toWallMs + 1000, byMs: toWallMs + 2001, startTime: 'today'}},
        },
      ])
    })

    it('beside what was known before', async () => {
      await remember([[FIRST, change]])
      await remember([[SECOND, change]])
      assert.deepEqual(Object.keys(ticks()), [FIRST, SECOND])
      assert.equal(migration.records.length, 2)
    })

    it('only of servers whose change and start were seen', async () => {
      await remember([
        [FIRST, {...change, afterMs: undefined}],
        ['10.0.0.3:34801', change],
      ])
      assert.deepEqual([migration.state.ticks, migration.records], [undefined, []])
    })

    it('not of those whose interval is being changed, nor where it is too short', async () => {
      migration.state.fast = {servers: new Map([[FIRST, {}]])} as never
      await remember([
        [FIRST, change],
        [SECOND, change],
      ])
      assert.deepEqual(Object.keys(ticks()), [SECOND])
      migration.state.ticks = undefined
      migration.state.timers = {configSyncMs: 1999, groupCheckMs: 10_000}
      await remember([[SECOND, change]])
      assert.equal(migration.state.ticks, undefined)
    })

    it('by this run even where the journal cannot be written', async () => {
      migration.failing('journal ticks', 1, new Error('no space left'))
      await remember([[FIRST, change]])
      assert.deepEqual(Object.keys(ticks()), [FIRST])
      assert.deepEqual(migration.events, [{code: 'journal.write_failed', message: 'no space left', type: 'warning'}])
      await rememberTicks({...migration.context, journal: undefined}, new Map([[SECOND, change]]), starts)
      assert.deepEqual(Object.keys(ticks()), [FIRST, SECOND])
    })
  })

  describe('tells when to deny', () => {
    const phase = (address: string, byMs: number) =>
      [address, {afterMs: byMs - 500, byMs, startTime: starts.get(address)!}] as const
    const moment = () => migration.run(momentToDeny(migration.context, both))

    beforeEach(async () => {
      await migration.clock.advance(100_000)
      migration.state.ticks = new Map([phase(FIRST, 91_000), phase(SECOND, 95_000)])
    })

    it('before the syncs of all, and not before the last looks are over', async () => {
      // From 104 s on: the syncs are at 120.5 s to 125 s.
      assert.deepEqual(await moment(), {atMs: 119_000, spreadMs: 4500})
      assert.deepEqual(migration.state.startTimes, starts)
    })

    it('not where one of them is not known, or was started again', async () => {
      starts.set(FIRST, 'just now')
      assert.equal(await moment(), undefined)
      assert.deepEqual([...migration.state.ticks!.keys()], [SECOND])
      migration.state.ticks = undefined
      assert.equal(await moment(), undefined)
    })

    it('not where a server was last seen to sync more than six hours ago', async () => {
      await migration.clock.advance(6 * HOUR_MS - 9000)
      assert.notEqual(await moment(), undefined)
      await migration.clock.advance(1)
      assert.equal(await moment(), undefined)
      assert.deepEqual([...migration.state.ticks!.keys()], [SECOND])
    })

    it('nowhere where servers sync all the time', async () => {
      migration.state.timers = {configSyncMs: 1999, groupCheckMs: 10_000}
      assert.equal(await moment(), undefined)
      assert.deepEqual(migration.asked, [])
      migration.state.timers = {configSyncMs: 2000, groupCheckMs: 10_000}
      await moment()
      assert.notDeepEqual(migration.asked, [])
    })
  })

  describe('is waited for', () => {
    const waitFor = async (atMs: number) => {
      const startMs = migration.clock.nowMs()
      await migration.run(waitForMoment(migration.context, {atMs, spreadMs: 4321}, migration.report))
      return migration.clock.nowMs() - startMs
    }

    it('until it is time for the last looks', async () => {
      await migration.clock.advance(1000)
      assert.equal(await waitFor(20_000), 15_000)
      assert.deepEqual(migration.reports, [
        {
          etaMs: 15_000,
          text: 'the servers ask for envs at fixed times: denied in 19.0 s, all of them hear of it within 4.3 s of each other',
        },
      ])
    })

    it('no longer where that is so already', async () => {
      assert.equal(await waitFor(3000), 0)
      assert.equal(migration.reports[0]!.etaMs, 0)
    })

    it('until the run is stopped', async () => {
      const reason = new MigratorError('ui.signal', 'stopped')
      migration.clock.setTimer(100, () => migration.abort.abort(reason))
      await assert.rejects(waitFor(20_000), reason)
      await migration.run(waitForMoment(migration.context, {atMs: 0, spreadMs: 0}, migration.report))
    })
  })

  function wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      migration.clock.setTimer(ms, resolve)
    })
  }
})
