import assert from 'node:assert/strict'
import {appendFile, chmod, mkdtemp, readFile, rm, stat, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {systemClock} from '../../../src/lib/clock.js'
import {isMigratorError} from '../../../src/lib/errors.js'
import {hintsOf, Journal, journalFileName, readJournal} from '../../../src/lib/migration/journal.js'

describe('journal', () => {
  let directory: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'journal-'))
  })

  afterEach(async () => {
    await chmod(directory, 0o700)
    await rm(directory, {force: true, recursive: true})
  })

  const open = (run = 'r1') => Journal.open(directory, 'users', 'onebox2', systemClock, run)

  it('keeps what was written for the next run, with modes that only the owner can read', async () => {
    const first = await open()
    await first.write({kind: 'phase', phase: 'deny', state: 'started'})
    await first.close()
    const second = await open('r2')
    await second.close()
    assert.equal(second.past.length, 1)
    assert.deepEqual({...second.past[0], at: ''}, {at: '', kind: 'phase', phase: 'deny', run: 'r1', state: 'started'})
    assert.equal((await stat(second.path)).mode & 0o777, 0o600)
  })

  it('leaves a torn last line out and begins the next record on a line of its own', async () => {
    const first = await open()
    await first.write({kind: 'word'})
    await first.close()
    await appendFile(first.path, '{"kind":"before","eff')
    const second = await open('r2')
    await second.write({kind: 'end', outcome: 'migrated'})
    await second.close()
    const records = await readJournal(second.path)
    assert.deepEqual(
      records.map(({kind}) => kind),
      ['word', 'end'],
    )
    assert.equal((await readFile(second.path, 'utf8')).split('\n').length, 4)
  })

  it('refuses a newer format instead of guessing', async () => {
    const path = join(directory, journalFileName('users', 'onebox2'))
    await writeFile(path, `${JSON.stringify({kind: 'begin', version: 99})}\n`)
    await assert.rejects(open(), (error) => isMigratorError(error, 'journal.newer'))
    assert.equal((await readFile(path, 'utf8')).trim().split('\n').length, 1)
  })

  it('says that it cannot be used where a file stands in the way', async () => {
    await writeFile(join(directory, 'plain'), '')
    await assert.rejects(Journal.open(join(directory, 'plain'), 'users', 'c', systemClock, 'r'), (error) =>
      isMigratorError(error, 'journal.unusable'),
    )
  })

  it('gives every table and target a name that stays in the directory', () => {
    const names = ['../x', 'a/b', 'a.b', '..', 'a@b', 'a\u001B[31m'].map((table) => journalFileName(table, 'c'))
    for (const name of names) assert.match(name, /^[\w%*'()!~@-]+\.jsonl$/)
    assert.equal(new Set(names).size, names.length)
    assert.notEqual(journalFileName('a@b', 'c'), journalFileName('a', 'b@c'))
  })
})

describe('hintsOf', () => {
  const at = '2026-11-22T08:00:00.000Z'
  const deny = {before: null, kind: 'deny', value: 'timeout*write'} as const
  const batch = {
    before: '4096',
    kind: 'set-server-config',
    name: 'duplicate_log_batch_bytes',
    server: '127.0.0.1:1',
    side: 'source',
    value: '0',
  } as const

  it('knows who shipped when rows were last compared, of this duplication', () => {
    const compared = (server: string) => ({at, kind: 'compared', run: 'r', shippers: {0: server}}) as const
    assert.equal(hintsOf([]).shippers, undefined)
    assert.deepEqual(hintsOf([compared('a:1'), compared('b:1')]).shippers, {0: 'b:1'})
    assert.equal(hintsOf([compared('a:1'), {at, dupid: 8, kind: 'duplication', run: 'r'}]).shippers, undefined)
  })

  it('takes an effect that was begun for one that may have happened', () => {
    const hints = hintsOf([{at, effect: deny, kind: 'before', run: 'r'}])
    assert.equal(hints.deny, 'timeout*write')
    assert.equal(hints.denyAtMs, Date.parse(at))
  })

  it('forgets the deny once it was taken back', () => {
    const lift = {before: null, kind: 'lift-deny'} as const
    const hints = hintsOf([
      {at, effect: deny, kind: 'before', run: 'r'},
      {at, effect: lift, kind: 'before', run: 'r'},
    ])
    assert.equal(hints.deny, 'timeout*write', 'begun is not done')
    assert.equal(hintsOf([{at, effect: lift, kind: 'after', outcome: 'done', run: 'r'}]).deny, undefined)
  })

  it('keeps the first value of a setting that was changed several times, until it is put back', () => {
    const again = {...batch, before: '0'}
    const changed = [
      {at, effect: batch, kind: 'before', run: 'r'},
      {at, effect: batch, kind: 'after', outcome: 'done', run: 'r'},
      {at, effect: again, kind: 'before', run: 's'},
      {at, effect: again, kind: 'after', outcome: 'done', run: 's'},
    ] as const
    assert.deepEqual(hintsOf(changed).settings, [batch])
    const back = {...batch, before: '0', value: '4096'}
    assert.deepEqual(
      hintsOf([
        ...changed,
        {at, effect: back, kind: 'before', run: 's'},
        {at, effect: back, kind: 'after', outcome: 'done', run: 's'},
      ]).settings,
      [],
    )
  })

  it('does not take what was put back for another machine for a setting of its own: it would be undone', () => {
    const sync = {...batch, before: '1000', name: 'config_sync_interval_ms', value: '30000'}
    for (const back of [{...batch, before: '0', value: '4096'}, sync]) {
      const done = {at, effect: back, kind: 'after', outcome: 'done', run: 'r'} as const
      assert.deepEqual(hintsOf([{at, effect: back, kind: 'before', run: 'r'}, done]).settings, [])
    }
  })

  it('knows that a duplication was being added when its dupid was never written down', () => {
    const adding = {at, ballots: {0: 3}, kind: 'adding', run: 'r'} as const
    assert.deepEqual(hintsOf([adding]), {adding: true, ballotsAtAdd: {0: 3}, settings: []})
    assert.equal(hintsOf([adding, {at, kind: 'not-added', run: 'r'}]).adding, undefined)
    const hints = hintsOf([adding, {at, dupid: 7, kind: 'duplication', run: 'r'}])
    assert.equal(hints.adding, undefined)
    assert.equal(hints.dupid, 7)
  })

  it('knows nothing of a migration that is finished', () => {
    const hints = hintsOf([
      {at, dupid: 7, kind: 'duplication', run: 'r'},
      {at, effect: deny, kind: 'before', run: 'r'},
      {at, kind: 'word', run: 'r'},
      {at, kind: 'end', outcome: 'migrated', run: 'r'},
    ])
    assert.equal(hints.dupid, undefined)
    assert.equal(hints.deny, undefined)
    assert.equal(hints.word, undefined)
  })

  it('knows that one was finished, until it is taken back or a new one begins', () => {
    const finished = [{at, kind: 'end', outcome: 'migrated', run: 'r'}] as const
    assert.equal(hintsOf(finished).finished, true)
    assert.equal(hintsOf([...finished, {at, kind: 'end', outcome: 'rolled-back', run: 's'}]).finished, undefined)
    assert.equal(hintsOf([...finished, {at, ballots: {0: 3}, kind: 'adding', run: 's'}]).finished, undefined)
  })
})
