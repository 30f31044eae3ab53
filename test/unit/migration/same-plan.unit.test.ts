import assert from 'node:assert/strict'

import {ExitCode} from '../../../src/lib/exit-codes.js'
import {Journal, type JournalRecord, type NewRecord, readJournal} from '../../../src/lib/migration/journal.js'
import {refuseOtherPlan} from '../../../src/lib/migration/same-plan.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryFiles} from '../../support/memory-files.js'
import {ScriptedMigration} from '../../support/scripted-migration.js'

const DIRECTORY = '/j'
const added: NewRecord = {dupid: 7, kind: 'duplication'}
const denied: NewRecord = {effect: {before: null, kind: 'deny', value: 'reconfig*write'}, kind: 'before'}
const rolledBack: NewRecord = {kind: 'end', outcome: 'rolled-back'}

function begin(change: object = {}): NewRecord {
  return {
    denyMode: 'reconfig',
    kind: 'begin',
    maxWriteDenyMs: 120_000,
    metaproxyHosts: 'zookeeper:2181',
    root: '/pegasus-metaproxy',
    table: 'users',
    targetCluster: 'b',
    version: 1,
    ...change,
  }
}

describe('a run that goes on from an earlier one', () => {
  let files: MemoryFiles

  beforeEach(() => {
    files = new MemoryFiles()
  })

  async function write(records: NewRecord[], table = 'users', target = 'b'): Promise<JournalRecord[]> {
    const journal = await Journal.open(DIRECTORY, table, target, new VirtualClock(), 'r', files)
    for (const record of records) await journal.write(record)
    await journal.close()
    return readJournal([...files.texts.keys()].at(-1)!, files)
  }

  const judge = (past: JournalRecord[], request: ConstructorParameters<typeof ScriptedMigration>[0] = {}) =>
    refuseOtherPlan(new ScriptedMigration(request).context, past, {directory: DIRECTORY, files})

  const refused = (found: Promise<void>, difference: string, target = 'b') =>
    assert.rejects(found, {
      code: 'plan.differs',
      exitCode: ExitCode.refused,
      message: `an earlier migration of users to ${target} is not finished, and it was asked for something else: ${difference}`,
      next: `Finish it with its own flags, or take it back first: pegasus table:migrate-rollback -t users -c ${target}`,
    })

  it('may want the same', async () => {
    await judge([])
    await judge(await write([begin(), added, denied]))
    await judge(await write([begin(), added], 'users3'), {maxWriteDenyMs: 60_000})
  })

  it('may want another root or ZooKeeper only where nothing is left of the earlier one', async () => {
    const elsewhere = {metaproxy: {hosts: 'other:2181', root: '/other'}}
    const difference = 'the root was /pegasus-metaproxy, ZooKeeper was zookeeper:2181'
    await refused(judge(await write([begin(), added]), elsewhere), difference)
    await judge(await write([rolledBack]), elsewhere)
  })

  it('may have been asked for no node', async () => {
    const past = await write([begin({metaproxyHosts: undefined, root: undefined}), added])
    await refused(judge(past), 'the root was not given, ZooKeeper was not given')
    await judge(past, {metaproxy: undefined})
  })

  it('is refused a node that the earlier one had and this one does not', async () => {
    await refused(
      judge(await write([begin(), added]), {metaproxy: undefined}),
      'the root was /pegasus-metaproxy, ZooKeeper was zookeeper:2181',
    )
  })

  it('may want another deny mode until writes are denied', async () => {
    await judge(await write([begin(), added]), {denyMode: 'timeout'})
    await refused(judge(await write([denied]), {denyMode: 'timeout'}), 'the deny mode was reconfig')
  })

  it('is compared from the first word of an add that nobody heard of', async () => {
    const past = await write([begin({root: '/other'}), {ballots: {0: 3}, kind: 'adding'}])
    await refused(judge(past), 'the root was /other')
  })

  it('is compared while writes are denied, though nothing is duplicated', async () => {
    await refused(judge(await write([begin({root: '/other'}), denied])), 'the root was /other')
  })

  it('is compared with the last run that asked for something, not with a rollback', async () => {
    const back = begin({maxWriteDenyMs: undefined, root: '/third'})
    const past = await write([begin({root: '/first'}), begin({root: '/second'}), added, back])
    await refused(judge(past), 'the root was /second')
    await judge(past.filter((record) => record.kind !== 'begin'))
  })

  it('is refused another target while the first one is not finished', async () => {
    await write([begin({targetCluster: 'c'}), added], 'users', 'c')
    await refused(judge([]), 'the target was c', 'c')
    await write([rolledBack], 'users', 'c')
    await judge([])
  })

  it('is told of the first of several targets', async () => {
    await write([begin({targetCluster: 'd'}), added], 'users', 'd')
    await write([begin({targetCluster: 'c'}), added], 'users', 'c')
    await refused(judge([]), 'the target was c', 'c')
  })

  it('looks at no other tables, and at no other files', async () => {
    await write([begin({table: 'users2', targetCluster: 'c'}), added], 'users2', 'c')
    await write([begin({table: 'users2', targetCluster: 'b'}), added], 'users2', 'b')
    await write([begin({targetCluster: 'c'}), added], 'users', 'c')
    const path = [...files.texts.keys()].at(-1)!
    files.texts.set(path.replace('.jsonl', '.hold'), files.texts.get(path)!)
    files.texts.delete(path)
    await judge([])
  })

  it('takes its own journal for no other target', async () => {
    await judge(await write([begin({targetCluster: 'elsewhere'}), added]))
  })
})
