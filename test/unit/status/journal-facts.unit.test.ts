import assert from 'node:assert/strict'

import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {Journal, type NewRecord} from '../../../src/lib/migration/journal.js'
import {chooseJournal, listJournals} from '../../../src/lib/migration/status/journal-facts.js'
import {MemoryFiles} from '../../support/memory-files.js'

const begin = (targetCluster: string, sourceCluster = 'onebox'): NewRecord => ({
  denyMode: 'timeout',
  kind: 'begin',
  sourceCluster,
  table: 'users',
  targetCluster,
  version: 1,
})

describe('journals as status reads them', () => {
  const clock = new VirtualClock()
  let files: MemoryFiles

  beforeEach(() => {
    files = new MemoryFiles()
  })

  async function write(targetCluster: string, run: string, records: NewRecord[]) {
    const journal = await Journal.open('/j', 'users', targetCluster, clock, run, files)
    for (const record of records) {
      await journal.write(record)
      await clock.advance(1000)
    }

    await journal.close()
  }

  const choose = async (choice: Partial<Parameters<typeof chooseJournal>[1]> = {}) =>
    chooseJournal(await listJournals('/j', files), {remotes: [], sourceCluster: 'onebox', ...choice}, files)

  it('takes table and target from the file names, odd ones too, and leaves other files alone', async () => {
    for (const name of ['users@onebox2.jsonl', 'a%2Eb@c%2Ed.jsonl', 'users@onebox2.guard', 'x.jsonl', '%@y.jsonl']) {
      files.texts.set(`/j/${name}`, '')
    }

    assert.deepEqual(
      (await listJournals('/j', files)).map(({table, targetCluster}) => [table, targetCluster]),
      [
        ['a.b', 'c.d'],
        ['users', 'onebox2'],
      ],
    )
    assert.deepEqual(await listJournals('/nowhere', files), [])
  })

  it('takes the target that was named, else that of a duplication, else the latest', async () => {
    await write('onebox2', 'r1', [begin('onebox2')])
    await write('onebox3', 'r2', [begin('onebox3')])
    const target = async (choice: Parameters<typeof choose>[0]) => (await choose(choice)).journal?.targetCluster
    assert.equal(await target({}), 'onebox3')
    assert.equal(await target({remotes: ['onebox2']}), 'onebox2')
    assert.equal(await target({remotes: ['onebox2'], targetCluster: 'onebox3'}), 'onebox3')
    assert.equal(await target({targetCluster: 'onebox4'}), undefined)
  })

  it('leaves out journals of migrations from or to elsewhere', async () => {
    await write('onebox', 'r1', [begin('onebox', 'onebox2')])
    await write('onebox2', 'r2', [begin('onebox2', 'another')])
    assert.deepEqual(await choose(), {unread: []})
    assert.equal((await choose({sourceCluster: undefined})).journal?.sourceCluster, 'another')
  })

  it('counts only runs that began to change something, and only their own end', async () => {
    await write('onebox2', 'r1', [{kind: 'phase', phase: 'preflight', state: 'started'}])
    assert.deepEqual(await choose(), {unread: []})
    await write('onebox2', 'r2', [begin('onebox2'), {dupid: 7, kind: 'duplication'}, {kind: 'end', outcome: 'stopped'}])
    await write('onebox2', 'r3', [begin('onebox2'), {kind: 'phase', phase: 'catch-up', state: 'started'}])
    await write('onebox2', 'r4', [{kind: 'phase', phase: 'preflight', state: 'started'}])
    const {journal} = await choose()
    assert.deepEqual(
      [journal?.run, journal?.ended, journal?.phase?.id, journal?.dupids],
      ['r3', undefined, 'catch-up', [7]],
    )
  })

  it('knows of a switch until it was rolled back', async () => {
    const effect = {before: '{}', beforeVersion: 1, bytes: '{}', kind: 'switch-node' as const, path: '/m/users'}
    await write('onebox2', 'r1', [begin('onebox2'), {effect, kind: 'before'}])
    assert.equal((await choose()).journal?.switched, false)
    await write('onebox2', 'r2', [begin('onebox2'), {effect, kind: 'after', outcome: 'done'}])
    assert.equal((await choose()).journal?.switched, true)
    await write('onebox2', 'r3', [begin('onebox2'), {kind: 'end', outcome: 'rolled-back'}])
    assert.equal((await choose()).journal?.switched, false)
  })

  it('tells of a journal of a newer version and goes on without it', async () => {
    files.texts.set('/j/users@onebox2.jsonl', '{"kind":"begin","version":99}\n')
    const {journal, unread} = await choose()
    assert.equal(journal, undefined)
    assert.deepEqual(
      unread.map(({code, what}) => [code, what]),
      [['journal.newer', 'journal']],
    )
  })
})
