import assert from 'node:assert/strict'
import {readFile} from 'node:fs/promises'
import {
  type VerifyEvent,
  type VerifyRequest,
  type VerifyResult,
  verifyTables,
} from '../../src/lib/migration/verify/run.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {type LoadedRow, type Profile, seededRandom, VirtualClock} from '../sandbox/index.js'
import {DuplicatedTable} from '../support/duplicated-table.js'
import {type Schema, violations} from '../support/json-schema.js'
import {MemoryFiles} from '../support/memory-files.js'

const schema = JSON.parse(
  await readFile(new URL('../../schemas/table-migrate-verify.schema.json', import.meta.url), 'utf8'),
) as Schema
const rows: LoadedRow[] = Array.from({length: 4000}, (_, n) => ({hashKey: `user:${n}`, value: Buffer.from(`v${n}`)}))
const user = (n: number) => ({hashKey: Buffer.from(`user:${n}`), sortKey: Buffer.alloc(0)})
const stateDirectory = '/data/table-migrator'
const statePath = `${stateDirectory}/users@onebox2.verify.json`

/** A duplicated table and everything that `verifyTables` takes. */
class Bed {
  readonly events: VerifyEvent[] = []
  readonly files = new MemoryFiles()
  /** Called with every event. */
  onEvent: (event: VerifyEvent) => void = () => {}

  private constructor(
    readonly clock: VirtualClock,
    readonly duplicated: DuplicatedTable,
  ) {}

  static async start(profile: Profile = '2.5', partitionCount = 4): Promise<Bed> {
    const clock = new VirtualClock()
    return new Bed(clock, await clock.run(DuplicatedTable.start({clock, partitionCount, profile, rows})))
  }

  /** Runs it; every result must be what the schema says. */
  async verify(changes: Partial<VerifyRequest> = {}, signal = new AbortController().signal): Promise<VerifyResult> {
    const {sandbox} = this.duplicated
    const request: VerifyRequest = {
      mode: 'full',
      parallel: 2,
      resume: true,
      sampleRows: 400,
      showValues: false,
      sourceMetas: sandbox.source.metas,
      table: 'users',
      targetCluster: 'onebox2',
      targetMetas: sandbox.target.metas,
      ...changes,
    }
    const {clock, files} = this
    const world = {clock, files, random: seededRandom(7), stateDirectory, transport: sandbox.transport}
    const emit = (event: VerifyEvent) => {
      this.events.push(event)
      this.onEvent(event)
    }

    const result = await clock.run(verifyTables(request, world, {emit}, {signal}))
    const json = JSON.stringify(result)
    assert.deepEqual(violations(schema, JSON.parse(json)), [])
    const {rows: counts} = result
    const verdicts = counts.different + counts.missingOnSource + counts.missingOnTarget + counts.expiring
    assert.equal(counts.rowsCompared, verdicts + counts.equal + counts.unresolved)
    return result
  }

  async tamper(n: number): Promise<void> {
    const writer = await this.clock.run(this.duplicated.reader('target'))
    await this.clock.run(writer.put(user(n), Buffer.from('\u0000tampered\u001B[2J')))
  }

  /** Sets the duplication's status, and waits until every server has heard of it. */
  async setDuplication(status: DuplicationStatus): Promise<void> {
    const {source} = this.duplicated
    const [entry] = await this.clock.run(source.duplications('users'))
    await this.clock.run(source.modifyDuplication('users', entry!.dupid, {status}))
    await this.clock.advance(60_000)
  }

  stop(): Promise<void> {
    return this.duplicated.stop()
  }
}

describe('table:migrate-verify over the wire', () => {
  for (const profile of ['2.4', '2.5', 'master'] as const) {
    it(`${profile}: says that a healthy copy is the same, then finds one changed value`, async () => {
      const bed = await Bed.start(profile)
      const same = await bed.verify()
      assert.equal(same.outcome, 'same')
      assert.deepEqual(same.rows, {
        different: 0,
        equal: 4000,
        expiring: 0,
        hot: 0,
        missingOnSource: 0,
        missingOnTarget: 0,
        onSource: 4000,
        onTarget: 4000,
        rowsCompared: 4000,
        unresolved: 0,
      })
      assert.deepEqual(same.duplication, {dupid: same.duplication.dupid, state: 'shipping'})
      assert.equal(same.partitions.compared, 4)
      assert.equal(await bed.files.read(statePath), undefined)
      const [started, ...progress] = bed.events
      assert.equal(started?.type, 'started')
      assert.ok(progress.length > 0)
      await bed.tamper(17)
      const different = await bed.verify({showValues: true})
      assert.equal(different.outcome, 'different')
      assert.equal(different.rows.different, 1)
      const [found] = different.differences
      assert.equal(found?.key, '"user:17" ""')
      assert.equal(found.source?.value, '"v17"')
      assert.equal(found.target?.value, String.raw`"\x00tampered\x1b[2J"`)
      assert.match(different.next!, /remove duplication \d+, drop the copy/)
      assert.equal((await bed.verify()).differences[0]?.target?.value, undefined)
      await bed.stop()
    })
  }

  it('counts, and samples', async () => {
    const bed = await Bed.start()
    const counted = await bed.verify({mode: 'count'})
    assert.deepEqual([counted.outcome, counted.rows.onSource, counted.rows.onTarget], ['same', 4000, 4000])
    const sampled = await bed.verify({mode: 'sample'})
    assert.deepEqual([sampled.outcome, sampled.rows.rowsCompared], ['same', 400])
    assert.match(sampled.proves[0]!, /Only a sample/)
    await bed.stop()
  })

  it('keeps to the rows a second on each side, and tells rate and time left', async () => {
    const bed = await Bed.start()
    const startMs = bed.clock.nowMs()
    const result = await bed.verify({maxRowsPerSecond: 100, parallel: 4})
    const seconds = (bed.clock.nowMs() - startMs) / 1000
    assert.equal(result.outcome, 'same')
    assert.ok(seconds > 34 && seconds < 60, `${seconds} s for 4000 rows`)
    const told = bed.events.filter((event) => event.type === 'progress')
    const midway = told.filter(({partitionsDone, rowsCompared}) => partitionsDone < 4 && rowsCompared > 1500)
    assert.ok(midway.every(({rowsPerSecond}) => rowsPerSecond > 60 && rowsPerSecond < 140))
    const startBytesMs = bed.clock.nowMs()
    await bed.verify({maxBytesPerSecond: 5000})
    assert.ok(bed.clock.nowMs() - startBytesMs > 20_000)
    await bed.stop()
  })

  it('goes on from the partitions that a run before has found the same', async () => {
    const bed = await Bed.start('2.5', 8)
    const stop = new AbortController()
    bed.onEvent = (event) => {
      if (event.type === 'progress' && event.partitionsDone >= 3) stop.abort(new Error('Ctrl-C'))
    }

    const stopped = await bed.verify({maxRowsPerSecond: 200, parallel: 1}, stop.signal)
    assert.deepEqual([stopped.outcome, stopped.stoppedBy], ['stopped', 'signal'])
    assert.equal(stopped.partitions.compared, 3)
    assert.match(stopped.next!, /goes on from here/)
    bed.onEvent = () => {}
    const reads = () => bed.events.findLast((event) => event.type === 'started')
    const resumed = await bed.verify()
    assert.deepEqual([reads()?.partitionsEarlier, resumed.partitions.earlier, resumed.partitions.compared], [3, 3, 5])
    assert.equal(resumed.partitions.sinceMs, stopped.startedAtMs)
    assert.deepEqual([resumed.outcome, resumed.rows.equal, resumed.rows.onTarget], ['same', 4000, 4000])
    assert.equal(await bed.files.read(statePath), undefined)
    await bed.stop()
  })

  it('begins anew when the table is another one, when it is told to, and from a file that is torn', async () => {
    const bed = await Bed.start('2.5', 2)
    const stop = new AbortController()
    bed.onEvent = (event) => {
      if (event.type === 'progress' && event.partitionsDone === 1) stop.abort(new Error('Ctrl-C'))
    }

    await bed.verify({maxRowsPerSecond: 500, parallel: 1}, stop.signal)
    bed.onEvent = () => {}
    const saved = (await bed.files.read(statePath))!
    assert.equal(JSON.parse(saved).partitions.length, 1)
    for (const [text, resume] of [
      [saved, false],
      [saved.slice(0, -9), true],
      [saved.replace(/"targetTableId":\d+/, '"targetTableId":99'), true],
      [saved.replace(/"dupid":\d+/, '"dupid":99'), true],
      [saved.replace(/"equal":\d+/, '"equal":-1'), true],
      [saved.replace(/"partition":\d+/, '"partition":7'), true],
      ['null', true],
    ] as const) {
      await bed.files.replace(statePath, text)
      assert.equal((await bed.verify({resume})).partitions.earlier, 0, text)
    }

    await bed.files.replace(statePath, saved)
    assert.equal((await bed.verify()).partitions.earlier, 1)
    await bed.stop()
  })

  it('compares partitions with differences again', async () => {
    const bed = await Bed.start('2.5', 4)
    await bed.tamper(1)
    const unfinished = await bed.verify({limitMs: 3000, maxRowsPerSecond: 500, parallel: 1})
    assert.deepEqual([unfinished.outcome, unfinished.stoppedBy], ['different', 'time'])
    const stop = new AbortController()
    bed.onEvent = (event) => {
      if (event.type === 'progress' && event.differences === 1) stop.abort(new Error('Ctrl-C'))
    }

    const stopped = await bed.verify({}, stop.signal)
    assert.deepEqual([stopped.outcome, stopped.rows.different], ['stopped', 1])
    bed.onEvent = () => {}
    const resumed = await bed.verify()
    assert.deepEqual([resumed.partitions.earlier, resumed.outcome, resumed.rows.different], [3, 'different', 1])
    await bed.stop()
  })

  it('proves nothing of a row that differs while the duplication is paused, and all when it ships again', async () => {
    const bed = await Bed.start()
    await bed.setDuplication(DuplicationStatus.DS_PAUSE)
    const same = await bed.verify()
    assert.deepEqual([same.outcome, same.duplication.state], ['same', 'paused'])
    const writer = await bed.clock.run(bed.duplicated.reader('source'))
    await bed.clock.run(writer.put(user(6), Buffer.from('new')))
    const open = await bed.verify()
    assert.deepEqual([open.outcome, open.rows.different, open.rows.unresolved], ['unproved', 0, 1])
    assert.deepEqual(open.unresolvedRows, [
      {key: '"user:6" ""', partition: open.unresolvedRows[0]!.partition, reason: 'unproved'},
    ])
    assert.ok(open.proves.some((sentence) => /is paused/.test(sentence)))
    assert.match(open.next!, /^Resume the duplication/)
    await bed.setDuplication(DuplicationStatus.DS_LOG)
    assert.equal((await bed.verify()).outcome, 'same')
    await bed.stop()
  })

  it('says what it proves when no duplication is left', async () => {
    const bed = await Bed.start()
    await bed.setDuplication(DuplicationStatus.DS_REMOVED)
    const same = await bed.verify()
    assert.deepEqual([same.outcome, same.duplication], ['same', {state: 'none'}])
    assert.equal(
      same.proves.filter((sentence) => /was quiet meanwhile/.test(sentence)).length,
      2,
      same.proves.join('\n'),
    )
    const writer = await bed.clock.run(bed.duplicated.reader('source'))
    await bed.clock.run(writer.put(user(6), Buffer.from('new')))
    const different = await bed.verify()
    assert.deepEqual([different.outcome, different.rows.different], ['different', 1])
    assert.match(different.next!, /who wrote to which side/)
    for (let n = 0; n < 60; n++) bed.clock.setTimer(n * 100, () => void writer.put(user(7), Buffer.from(`${n}`)))
    const live = await bed.verify()
    assert.ok(
      live.proves.some((sentence) => /The source was written to meanwhile/.test(sentence)),
      live.proves.join('\n'),
    )
    await bed.stop()
  })

  it('refuses what cannot be compared', async () => {
    const bed = await Bed.start('2.5', 2)
    const {source, target} = bed.duplicated.sandbox
    const refused = (changes: Partial<VerifyRequest>, code: string) =>
      assert.rejects(bed.verify(changes), {code, exitCode: 3})
    await refused({table: 'nobody'}, 'verify.no_table')
    await refused({targetCluster: 'elsewhere'}, 'verify.wrong_cluster')
    await refused({targetCluster: 'onebox', targetMetas: source.metas}, 'verify.wrong_cluster')
    await bed.clock.run(source.createTable('odd', {partitionCount: 4, replicaCount: 3}))
    await bed.clock.run(target.createTable('odd', {partitionCount: 8, replicaCount: 3}))
    await refused({table: 'odd'}, 'verify.partition_count')
    await bed.clock.run(
      bed.duplicated.source.addDuplication({checkpoint: true, remoteCluster: 'onebox2', table: 'odd'}).catch(() => {}),
    )
    await bed.stop()
  })

  it('tells what it had when a side cannot be read any more', async () => {
    const bed = await Bed.start('2.5', 2)
    bed.onEvent = (event) => {
      if (event.type === 'progress' && event.partitionsDone === 1)
        for (const {address} of bed.duplicated.sandbox.target.servers)
          void bed.duplicated.sandbox.target.killServer(address)
    }

    const result = await bed.verify({maxRowsPerSecond: 500, parallel: 1})
    assert.deepEqual(
      [result.outcome, result.error?.code, result.partitions.compared],
      ['failed', 'verify.unreadable', 1],
    )
    assert.equal(JSON.parse((await bed.files.read(statePath))!).partitions.length, 1)
    await bed.stop()
  })
})
