import assert from 'node:assert/strict'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {systemClock} from '../../../src/lib/clock.js'
import {diskFiles} from '../../../src/lib/files.js'
import {Journal, type JournalRecord} from '../../../src/lib/migration/journal.js'
import {tellJournal} from '../../../src/lib/migration/rollback/journal-view.js'
import {readJournalFacts} from '../../../src/lib/migration/status/journal-facts.js'
import type {AppInfo} from '../../../src/lib/rpc/structs/table.js'

const CLOSED = 'reconfig*all'
type Written = Parameters<Journal['write']>[0]

const begin: Written = {
  denyMode: 'reconfig',
  kind: 'begin',
  sourceCluster: 'onebox',
  table: 'users',
  targetCluster: 'onebox2',
  targetMetas: ['m:1'],
  version: 1,
} as Written
const effect = (kind: JournalRecord['kind'], of: object): Written =>
  ({effect: of, kind, ...(kind === 'after' ? {outcome: 'done'} : {})}) as Written
const both = (of: object) => [effect('before', of), effect('after', of)]
const deny = both({before: null, kind: 'deny', value: 'reconfig*write'})
const close = both({before: 'reconfig*write', kind: 'close-source', value: CLOSED})
const lift = both({before: CLOSED, kind: 'lift-deny'})
const end = (outcome: string): Written => ({kind: 'end', outcome}) as Written
const adding = {ballots: {0: 1}, kind: 'adding'} as Written

describe('what a rollback takes from the journal', () => {
  let directory: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'journal-view-'))
  })

  afterEach(() => rm(directory, {force: true, recursive: true}))

  /** Of runs, each with what it wrote, on a table with that env. */
  async function told(env: string | undefined, ...runs: Written[][]) {
    for (const [index, records] of runs.entries()) {
      const journal = await Journal.open(directory, 'users', 'onebox2', systemClock, `r${index}`)
      for (const record of records) await journal.write(record)
      await journal.close()
    }

    const path = join(directory, 'users@onebox2.jsonl')
    const facts = await readJournalFacts({path, table: 'users', targetCluster: 'onebox2'}, diskFiles)
    assert.ok(facts)
    const table = {envs: new Map(env === undefined ? [] : [['replica.deny_client_request', env]])}
    return tellJournal(facts, table as unknown as AppInfo, undefined, diskFiles)
  }

  const finished = [begin, adding, ...deny, ...close, end('migrated')]

  it('knows a hand-over that was finished', async () => {
    const view = await told(CLOSED, finished)
    assert.equal(view?.handedOver, true)
    assert.equal(view?.deny, CLOSED)
  })

  it('knows a hand-over whose run died after it had closed the source', async () => {
    assert.equal((await told(CLOSED, finished.slice(0, -1)))?.handedOver, true)
  })

  it('knows it still where a later run began anew and came to nothing', async () => {
    const view = await told(CLOSED, finished, [begin, adding, end('stopped')])
    assert.equal(view?.handedOver, true)
    assert.equal(view?.ended, 'stopped')
  })

  it('knows a deny that its process sent when it woke up, behind the lift of its guard', async () => {
    const [before, after] = deny
    const view = await told('reconfig*write', [begin, adding, before!, ...lift, after!])
    assert.equal(view?.deny, 'reconfig*write')
    assert.equal((await told('reconfig*write', [begin, adding, ...deny, ...lift]))?.deny, undefined)
  })

  it('takes a deny that was not yet a hand-over for a deny', async () => {
    const view = await told('reconfig*write', [begin, adding, ...deny])
    assert.equal(view?.handedOver, false)
    assert.equal(view?.deny, 'reconfig*write')
  })

  it('knows of no hand-over once the source was opened, by us or by somebody else', async () => {
    const taken = await told(CLOSED, finished, [begin, ...lift, end('rolled-back')])
    assert.equal(taken?.handedOver, false)
    assert.equal(taken?.deny, undefined)
    assert.equal((await told(undefined, finished))?.handedOver, false)
  })
})
