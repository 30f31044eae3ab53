import assert from 'node:assert/strict'

import {isMigratorError, MigratorError} from '../../../src/lib/errors.js'
import {
  hintsOf,
  Journal,
  journalFileName,
  type JournalHints,
  journalPath,
  type JournalRecord,
  readJournal,
} from '../../../src/lib/migration/journal.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryFiles} from '../../support/memory-files.js'

/* What a later run takes from the journal, record by record. */

const at = '2026-11-22T00:00:00.000Z'
const atMs = Date.parse(at)
const record = (fields: object) => ({at, run: 'r', ...fields}) as JournalRecord
const before = (effect: object) => record({effect, kind: 'before'})
const done = (effect: object, outcome = 'done') => record({effect, kind: 'after', outcome})

const deny = before({before: null, kind: 'deny', value: 'reconfig*write'})
const lifted = done({before: 'x', kind: 'lift-deny'})
const closing = {before: null, kind: 'close-source', value: 'reconfig*all'}
const opening = before({before: null, kind: 'open-source-reads', value: 'timeout*write'})
const adding = record({ballots: {0: 3}, kind: 'adding'})
const added = record({dupid: 7, kind: 'duplication'})
const removed = (dupid: number) => done({dupid, kind: 'remove-duplication'})
const back = {before: '{}', beforeVersion: 1, bytes: '{}', kind: 'switch-node-back', path: '/a'}
const config = (value: string, was: string, more: object = {}) => ({
  before: was,
  kind: 'set-server-config',
  name: 'config_sync_interval_ms',
  server: 's:1',
  side: 'source',
  value,
  ...more,
})
const level = (value: string, was: string, side = 'source') => ({
  before: was,
  kind: 'set-meta-level',
  level: value,
  side,
})
const end = (outcome: string) => record({kind: 'end', outcome})
const verified = record({kind: 'phase', phase: 'verify', state: 'done'})
const batches = config('0', '4096', {name: 'duplicate_log_batch_bytes'})

/** What is known, without what is not. */
function known(records: JournalRecord[]): Partial<JournalHints> {
  const hints = hintsOf(records)
  const entries = Object.entries(hints).filter(
    ([key, value]) => value !== undefined && !(key === 'settings' && hints.settings.length === 0),
  )
  return Object.fromEntries(entries)
}

const denied = {deny: 'reconfig*write', denyAtMs: atMs}
const cases: [string, JournalRecord[], Partial<JournalHints>][] = [
  ['nothing', [], {}],
  ['a duplication about to be added', [adding], {adding: true, ballotsAtAdd: {0: 3}}],
  ['one that was not added', [adding, record({kind: 'not-added'})], {ballotsAtAdd: {0: 3}}],
  ['one that was', [adding, added], {ballotsAtAdd: {0: 3}, dupid: 7}],
  ['one that was removed', [added, removed(7)], {}],
  ['another that was removed', [added, removed(8)], {dupid: 7}],
  ['one whose removal failed', [added, done({dupid: 7, kind: 'remove-duplication'}, 'failed')], {dupid: 7}],
  ['a copy that was compared', [adding, added, verified], {dupid: 7}],
  [
    'a comparison that began',
    [adding, record({kind: 'phase', phase: 'verify', state: 'started'})],
    {adding: true, ballotsAtAdd: {0: 3}},
  ],
  [
    'another phase that is done',
    [adding, record({kind: 'phase', phase: 'drain', state: 'done'})],
    {adding: true, ballotsAtAdd: {0: 3}},
  ],
  ['a deny that was about to be sent', [deny], denied],
  ['one that was lifted', [deny, lifted], {denyAtMs: atMs}],
  [
    'one that its process sent when it woke up, behind the lift of its guard',
    [deny, lifted, done({before: null, kind: 'deny', value: 'reconfig*write'})],
    denied,
  ],
  ['one whose lifting failed', [deny, done({before: 'x', kind: 'lift-deny'}, 'unknown')], denied],
  ['the word', [record({kind: 'word'})], {word: true}],
  ['a source about to be closed', [deny, before(closing)], {...denied, closed: true}],
  ['one that was opened again', [before(closing), lifted], {}],
  [
    'a migration',
    [adding, added, deny, record({kind: 'word'}), before(closing), end('migrated')],
    {ballotsAtAdd: {0: 3}, denyAtMs: atMs, finished: true},
  ],
  ['a hand-over', [added, end('handed-over')], {finished: true}],
  ['a migration that stopped', [added, deny, end('stopped')], {...denied, dupid: 7}],
  ['one that was taken back', [end('migrated'), added, end('rolled-back')], {}],
  ['one that begins after another', [end('migrated'), adding], {adding: true, ballotsAtAdd: {0: 3}}],
  ['a return', [end('migrated'), opening], {deny: 'timeout*write', denyAtMs: atMs, finished: true, returning: true}],
  ['a return that was given up', [opening, done(closing)], {denyAtMs: atMs}],
  ['a close that is no return', [deny, done(closing)], denied],
  [
    'a return that switches back',
    [end('migrated'), opening, before(back)],
    {deny: 'timeout*write', denyAtMs: atMs, finished: true, returning: true},
  ],
  [
    'one that switches back without a word of what it denies',
    [before(closing), before(back)],
    {deny: 'reconfig*all', denyAtMs: atMs, returning: true},
  ],
  [
    'one that has switched back',
    [end('migrated'), before(back), done(back)],
    {deny: 'reconfig*all', denyAtMs: atMs, returning: true},
  ],
  ['one that is over', [opening, before(back), lifted], {denyAtMs: atMs}],
  ['a deny after a return', [opening, deny], denied],
  ['an end of a return', [opening, before(back), end('rolled-back')], {denyAtMs: atMs}],
  ['batches before there is a duplication', [before(batches)], {settings: [batches] as never}],
  [
    'batches while it ships',
    [added, before(batches)],
    {
      dupid: 7,
      settings: [batches] as never,
      inDoubt: 'duplicate_log_batch_bytes was not 0 on s:1 for a while',
    },
  ],
  ['batches, compared since', [added, before(batches), verified], {dupid: 7, settings: [batches] as never}],
  ['batches of an earlier duplication', [added, before(batches), added], {dupid: 7, settings: [batches] as never}],
  [
    'another setting while it ships',
    [added, before(config('1000', '10'))],
    {dupid: 7, settings: [config('1000', '10')] as never},
  ],
]

describe('the replay of a journal', () => {
  for (const [what, records, expected] of cases) it(what, () => assert.deepEqual(known(records), expected))

  const settingsOf = (...records: JournalRecord[]) => hintsOf(records).settings

  it('keeps the first value of a setting that was changed twice, until it is put back', () => {
    const [first, second] = [config('1000', '10'), config('1000', '5')]
    assert.deepEqual(settingsOf(before(first), done(first), before(second), done(second)), [first])
    assert.deepEqual(settingsOf(before(first), before(config('10', '1000'))), [first])
    assert.deepEqual(settingsOf(before(first), done(config('10', '1000'))), [])
    assert.deepEqual(settingsOf(before(first), done(config('10', '1000'), 'failed')), [first])
    assert.deepEqual(settingsOf(done(config('10', '1000'))), [])
  })

  it('tells settings apart by side, server and name', () => {
    const first = config('1000', '10')
    for (const other of [{side: 'target'}, {server: 's:2'}, {name: 'x'}]) {
      const changed = config('1000', '10', other)
      assert.deepEqual(settingsOf(before(first), before(changed)), [first, changed])
      assert.deepEqual(settingsOf(before(first), done(config('10', '1000', other))), [first])
    }
  })

  it('keeps the level of the metas the same way', () => {
    const first = level('steady', 'lively')
    assert.deepEqual(settingsOf(before(first), done(first)), [first])
    assert.deepEqual(settingsOf(before(first), done(level('lively', 'steady'))), [])
    assert.deepEqual(settingsOf(before(first), done(level('lively', 'steady', 'target'))), [first])
    assert.deepEqual(settingsOf(before(level('a', 'b', 'target')), before(first)), [level('a', 'b', 'target'), first])
  })
})

describe('a journal', () => {
  it('has a name that leaves no directory and meets no other', () => {
    assert.equal(journalFileName('../x', 'a.b'), '%2E%2E%2Fx@a%2Eb.jsonl')
    assert.equal(journalFileName('a@b', 'c'), 'a%40b@c.jsonl')
    assert.equal(journalFileName('a\n"\u001B\u202E', 'c'), 'a%0A%22%1B%E2%80%AE@c.jsonl')
    assert.equal(journalPath('/j', 'a', 'b'), '/j/a@b.jsonl')
  })

  it('says what cannot be used, written or read, and why', async () => {
    const clock = new VirtualClock()
    const files = new MemoryFiles()
    files.openForAppend = () => Promise.reject(new Error('disk full'))
    await assert.rejects(Journal.open('/j', 'a', 'b', clock, 'r', files), (error: MigratorError) => {
      assert.ok(isMigratorError(error, 'journal.unusable'))
      assert.equal(error.message, 'journal /j/a@b.jsonl cannot be used: disk full')
      assert.match(error.next!, /nothing was changed/)
      assert.ok(error.cause instanceof Error)
      return true
    })
    const full = new MemoryFiles()
    full.openForAppend = async () => ({append: () => Promise.reject(new Error('ENOSPC')), async close() {}})
    const journal = await Journal.open('/j', 'a', 'b', clock, 'r', full)
    await assert.rejects(journal.write({kind: 'word'}), (error: MigratorError) => {
      assert.ok(isMigratorError(error, 'journal.write_failed'))
      assert.equal(error.message, 'journal /j/a@b.jsonl cannot be written to: ENOSPC')
      assert.ok(error.cause instanceof Error)
      return true
    })
    full.texts.set('/j/a@b.jsonl', '{"kind":"begin","version":2}\n')
    await assert.rejects(Journal.open('/j', 'a', 'b', clock, 'r', full), (error: MigratorError) => {
      assert.ok(isMigratorError(error, 'journal.newer'))
      assert.equal(error.message, 'journal /j/a@b.jsonl was written by a newer version (2)')
      assert.match(error.next!, /plugins update/)
      return true
    })
    full.texts.set(
      '/j/a@b.jsonl',
      `{"version":2}\n${JSON.stringify(record({kind: 'phase', phase: 'x', state: 'done', version: 9}))}\n`,
    )
    assert.equal((await readJournal('/j/a@b.jsonl', full)).length, 1)
    assert.deepEqual(await readJournal('/j/none', full), [])
  })

  it('stamps each record with the wall clock and the run, on lines of their own', async () => {
    const files = new MemoryFiles()
    files.texts.set('/j/a@b.jsonl', '{"torn')
    const journal = await Journal.open('/j', 'a', 'b', new VirtualClock(0), 'run-1', files)
    assert.equal(journal.path, '/j/a@b.jsonl')
    await journal.write({kind: 'word'})
    await journal.close()
    assert.equal(
      files.texts.get('/j/a@b.jsonl'),
      '{"torn\n{"at":"1970-01-01T00:00:00.000Z","run":"run-1","kind":"word"}\n',
    )
    const again = await Journal.open('/j', 'a', 'b', new VirtualClock(0), 'run-2', files)
    assert.deepEqual(again.past, [{at: '1970-01-01T00:00:00.000Z', kind: 'word', run: 'run-1'}])
    assert.equal(files.texts.get('/j/a@b.jsonl')!.split('\n').length, 3)
  })
})
