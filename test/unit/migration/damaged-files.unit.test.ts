import assert from 'node:assert/strict'
import {mkdtemp, readdir, rm, stat, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {isMigratorError} from '../../../src/lib/errors.js'
import {lockHeld, parseLockNote} from '../../../src/lib/metaproxy/shared-lock.js'
import {GuardChannel} from '../../../src/lib/migration/guard/channel.js'
import {parsePlan, takePlan, writePlan} from '../../../src/lib/migration/guard/plan.js'
import {isRecord} from '../../../src/lib/migration/journal-record.js'
import {hintsOf, journalFileName, readJournal} from '../../../src/lib/migration/journal.js'
import {MemoryFiles} from '../../support/memory-files.js'

/* Files beside the journal that somebody edited, or a disk damaged: never believed, never a crash. */

const stamp = {at: '2026-11-22T00:00:00.000Z', run: 'r'}
const deny = {before: null, kind: 'deny', value: 'reconfig*write'}
const setting = {before: '10', kind: 'set-server-config', name: 'n', server: 's:1', side: 'source', value: '1'}
const level = {before: 'lively', kind: 'set-meta-level', level: 'steady', side: 'source'}
const switching = {before: '{}', beforeVersion: 1, bytes: '{}', kind: 'switch-node', path: '/a'}
const begin = {denyMode: 'reconfig', kind: 'begin', table: 't', targetCluster: 'c', version: 1}

const without = (record: object, key: string) =>
  Object.fromEntries(Object.entries(record).filter(([name]) => name !== key))

describe('records of a journal', () => {
  /** Each with the fields that it cannot do without. */
  const records: [object, string[]][] = [
    [{...stamp, ...begin}, ['at', 'run', 'kind', 'table', 'targetCluster', 'version']],
    [{...stamp, ballots: {0: 1}, kind: 'adding'}, ['ballots']],
    [{...stamp, kind: 'compared', shippers: {0: 'a:1'}}, ['shippers']],
    [{...stamp, kind: 'doubt', reason: 'r'}, ['reason']],
    [{...stamp, dupid: 1, kind: 'duplication'}, ['dupid']],
    [{...stamp, effect: deny, kind: 'before'}, ['effect']],
    [{...stamp, effect: deny, kind: 'after', outcome: 'done'}, ['effect', 'outcome']],
    [{...stamp, kind: 'end', outcome: 'migrated'}, ['outcome']],
    [{...stamp, kind: 'phase', phase: 'deny', state: 'done'}, ['phase', 'state']],
  ]
  for (const [record, needed] of records) {
    it(`${(record as {kind: string}).kind} is one, and none without ${needed.join(' or ')}`, () => {
      assert.equal(isRecord(record), true)
      for (const key of needed) {
        assert.equal(isRecord(without(record, key)), false, key)
        assert.equal(isRecord({...record, [key]: {}}), ['ballots', 'shippers'].includes(key), key)
        assert.equal(isRecord({...record, [key]: null}), false, key)
        assert.equal(isRecord({...record, [key]: {0: null}}), false, key)
      }
    })
  }

  const effects: [object, string[]][] = [
    [deny, ['kind', 'value']],
    [{kind: 'close-source', value: 'x'}, ['value']],
    [{kind: 'open-source-reads', value: 'x'}, ['value']],
    [{dupid: 1, kind: 'remove-duplication'}, ['dupid']],
    [level, ['before', 'level', 'side']],
    [setting, ['before', 'name', 'server', 'side', 'value']],
    [switching, ['before', 'bytes', 'path']],
  ]
  for (const [effect, needed] of effects) {
    it(`an effect ${(effect as {kind: string}).kind} is none without ${needed.join(' or ')}`, () => {
      assert.equal(isRecord({...stamp, effect, kind: 'before'}), true)
      for (const key of needed)
        assert.equal(isRecord({...stamp, effect: without(effect, key), kind: 'before'}), false, key)
    })
  }

  it('may leave out of a begin what not every run has, and then it is what it should be', () => {
    const optional = {
      maxWriteDenyMs: 1,
      metaproxyHosts: 'zk:1',
      proxies: ['p:1'],
      root: '/a',
      sourceCluster: 's',
      sourceMetas: ['m:1'],
      targetMetas: ['m:1'],
      thresholdMutations: 1,
    }
    assert.equal(isRecord({...stamp, ...begin, ...optional}), true)
    for (const key of Object.keys(optional))
      assert.equal(isRecord({...stamp, ...begin, ...optional, [key]: {}}), false, key)
    for (const list of [[1], ['a', null]]) assert.equal(isRecord({...stamp, ...begin, proxies: list}), false)
  })

  it('of a kind that is not known here pass; what is no record does not', () => {
    assert.equal(isRecord({...stamp, kind: 'of-tomorrow'}), true)
    assert.equal(isRecord({...stamp, effect: {kind: 'of-tomorrow'}, kind: 'before'}), true)
    assert.equal(isRecord({...stamp, kind: 'toString'}), true)
    assert.equal(isRecord({...stamp, effect: {kind: 'constructor'}, kind: 'before'}), true)
    for (const value of [null, 1, 'x', [], [stamp], {}]) assert.equal(isRecord(value), false)
    assert.equal(isRecord({...stamp, at: 'yesterday', kind: 'word'}), false)
    assert.equal(isRecord({...stamp, ballots: {0: '1'}, kind: 'adding'}), false)
    assert.equal(isRecord({...stamp, ballots: [1], kind: 'adding'}), false)
  })

  it('are left out of the replay when they are damaged', async () => {
    const files = new MemoryFiles()
    const lines = [
      {...stamp, kind: 'before'},
      {...stamp, effect: deny, kind: 'before'},
      {...stamp, effect: null, kind: 'after', outcome: 'done'},
    ]
    files.texts.set('/j', lines.map((line) => JSON.stringify(line)).join('\n'))
    assert.equal(hintsOf(await readJournal('/j', files)).deny, deny.value)
  })
})

describe('files of a guard', () => {
  const base = `/j/${journalFileName('t', 'c').replace(/\.jsonl$/, '')}`
  const channelWith = (name: string, text: string) => {
    const files = new MemoryFiles()
    files.texts.set(`${base}.${name}`, text)
    return new GuardChannel('/j', 't', 'c', files)
  }

  const status = {pid: 7, sinceMs: 1, state: 'watching', text: 'x'}

  it('are read as they were written', async () => {
    assert.deepEqual(await channelWith('guard', JSON.stringify(status)).readStatus(), status)
    assert.deepEqual(await channelWith('beat', '{"count":1,"stage":"armed"}').readBeat(), {count: 1, stage: 'armed'})
    assert.deepEqual(await channelWith('beat', '{"count":2,"stage":"dismissed"}').readBeat(), {
      count: 2,
      stage: 'dismissed',
    })
    assert.equal(await channelWith('other', '').readBeat(), undefined)
  })

  it('are named when they are damaged', async () => {
    const damaged = (error: unknown) => {
      assert.ok(isMigratorError(error, 'guard.channel'))
      assert.match(error.message, /^the guard's file \/j\/t@c\.(?:beat|guard): it is damaged$/)
      assert.match(error.next!, /delete it/)
      return true
    }

    for (const text of [
      '',
      '{',
      'null',
      '1',
      '[]',
      '{"count":1}',
      '{"count":1.5,"stage":"armed"}',
      '{"count":1,"stage":"x"}',
    ])
      await assert.rejects(channelWith('beat', text).readBeat(), damaged, text)
    const bad = {pid: [0, -1, 1.5, '7', null], sinceMs: [1e300, '1', null], state: ['x', null], text: [1, null]}
    for (const [key, values] of Object.entries(bad)) {
      for (const value of values)
        await assert.rejects(
          channelWith('guard', JSON.stringify({...status, [key]: value})).readStatus(),
          damaged,
          `${key} ${value}`,
        )
    }
  })

  const request = {denyMode: 'reconfig', sourceMetas: ['a:1'], table: 't', targetCluster: 'c', targetMetas: ['b:1']}
  const driver = {host: 'h', pid: 7, pidSpace: '', started: ''}
  const plan = {driver, dupid: 1, journalDirectory: '/j', request, timers: {}}

  it('hold a plan that is whole, or say nothing of what they hold', () => {
    assert.deepEqual(parsePlan(JSON.stringify(plan)), plan)
    const texts = [...Object.keys(plan).map((key) => JSON.stringify(without(plan, key))), 'null', '1', '[]']
    for (const key of Object.keys(request)) texts.push(JSON.stringify({...plan, request: without(request, key)}))
    texts.push(JSON.stringify({...plan, request: null}), JSON.stringify({...plan, timers: null}))
    for (const part of ['request', 'timers']) texts.push(JSON.stringify({...plan, [part]: 'x'}))
    texts.push(
      JSON.stringify({...plan, request: {...request, sourceMetas: [1]}}),
      JSON.stringify({...plan, request: null, timers: null}),
    )
    for (const text of texts)
      assert.throws(() => parsePlan(text), {
        code: 'guard.bad_plan',
        message: "the guard's plan cannot be used: something is missing from it",
      })
    assert.throws(
      () => parsePlan('{"auth":"digest:u:secret"'),
      (error) => {
        assert.ok(isMigratorError(error, 'guard.bad_plan'))
        assert.equal(error.message, "the guard's plan cannot be used: it is not JSON")
        assert.equal(error.cause, undefined)
        return true
      },
    )
  })

  it('hand a plan over once, in a file of its owner', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'guard-plan-'))
    try {
      const path = join(directory, 'plan.json')
      await writeFile(path, 'of an earlier run', {mode: 0o644})
      await writePlan(path, plan as never)
      assert.equal((await stat(path)).mode & 0o777, 0o600)
      assert.deepEqual(await takePlan(path), plan)
      assert.deepEqual(await readdir(directory), [])
      await assert.rejects(takePlan(path), (error) => {
        assert.ok(isMigratorError(error, 'guard.bad_plan'))
        assert.match(error.message, /^the guard's plan cannot be used: ENOENT/)
        assert.ok(error.cause instanceof Error)
        return true
      })
      await writePlan(path, {...plan, request: {...request, denyMode: 'timeout'}} as never)
      assert.equal((await takePlan(path)).request.denyMode, 'timeout')
    } finally {
      await rm(directory, {recursive: true})
    }
  })
})

describe('notes of a lock', () => {
  const note = {command: 'c', host: 'h', pid: 1, pidSpace: '', sinceMs: 1, started: '', token: 't'}

  it('name a process and a moment that there can be', () => {
    assert.deepEqual(parseLockNote(JSON.stringify(note)), note)
    assert.deepEqual(parseLockNote('{"pid":1,"sinceMs":8640000000000000,"token":"t"}'), {
      ...note,
      command: '',
      host: '',
      sinceMs: 8.64e15,
    })
    const bad = {pid: [0, -1, 1.5, '1', null], sinceMs: [8_640_000_000_000_001, '1', null], token: [1, null]}
    for (const [key, values] of Object.entries(bad))
      for (const value of values)
        assert.equal(parseLockNote(JSON.stringify({...note, [key]: value})), undefined, `${key} ${value}`)
    for (const text of ['', '{', 'null', '1', '"x"']) assert.equal(parseLockNote(text), undefined, text)
    assert.match(
      lockHeld('x', parseLockNote('{"pid":1,"sinceMs":8640000000000000,"token":"t"}')!).message,
      /\+275760-09-13/,
    )
  })
})
