import assert from 'node:assert/strict'
import {readFile} from 'node:fs/promises'
import {fileURLToPath} from 'node:url'
import VerifyCommand from '../../../src/commands/table/migrate-verify.js'
import {MigratorError} from '../../../src/lib/errors.js'
import {ExitCode} from '../../../src/lib/exit-codes.js'
import type {
  VerifyProgressEvent,
  VerifyRequest,
  VerifyResult,
  VerifyTables,
} from '../../../src/lib/migration/verify/run.js'
import {VerifyList} from '../../../src/lib/ui/verify-renderer.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {type Schema, violations} from '../../support/json-schema.js'
import {runCommand} from '../../support/run-command.js'

const NEEDED = ['-t', 'users', '-c', 'onebox2', '-m', 'c:3,d:4', '--source-meta', 'a:1,b:2']
const root = fileURLToPath(new URL('../../..', import.meta.url))
const schema = JSON.parse(await readFile(`${root}schemas/table-migrate-verify.schema.json`, 'utf8')) as Schema

const result: VerifyResult = {
  differences: [],
  duplication: {dupid: 7, state: 'shipping'},
  mode: 'full',
  outcome: 'same',
  partitions: {compared: 6, count: 8, earlier: 2, sinceMs: 1_700_000_000_000},
  proves: ['Every row of both sides was to be read: key, value and expiry.'],
  rows: {
    different: 0,
    equal: 12_345,
    expiring: 1,
    hot: 2,
    missingOnSource: 0,
    missingOnTarget: 0,
    onSource: 12_347,
    onTarget: 12_346,
    rowsCompared: 12_348,
    unresolved: 2,
  },
  rowsPerSecond: 400_000,
  schema: 1,
  source: {cluster: 'onebox', metas: ['a:1'], tableId: 2},
  startedAtMs: 1_700_000_100_000,
  table: 'users',
  target: {cluster: 'onebox2', metas: ['c:3'], tableId: 5},
  tookMs: 3100,
  unresolvedRows: [{key: '"hot" ""', partition: 3, reason: 'hot'}],
}

const different: VerifyResult = {
  ...result,
  differences: [
    {
      key: String.raw`"\x1b[31m" "k"`,
      kind: 'value',
      partition: 1,
      source: {bytes: 3, expireTsSeconds: 0, hash: '0123456789abcdef'},
      target: {bytes: 9, expireTsSeconds: 77, hash: 'fedcba9876543210', value: '"shown"'},
    },
    {key: '"a" "b"', kind: 'missing-on-target', partition: 2, source: {bytes: 1, expireTsSeconds: 0, hash: '00'}},
  ],
  next: 'The copy of users on onebox2 is not sound.',
  outcome: 'different',
  rows: {...result.rows, different: 150, missingOnTarget: 1},
  stoppedBy: 'differences',
}

const unproved: VerifyResult = {
  ...result,
  next: 'The same command goes on from here.',
  outcome: 'unproved',
  rows: {...result.rows, unresolved: 3},
  stoppedBy: 'time',
  unresolvedRows: [{key: '"late" ""', partition: 3, reason: 'unproved'}],
}

const failed: VerifyResult = {
  ...result,
  error: {code: 'verify.unreadable', facts: {partition: 3}, message: 'partition 3 could not be read\u001B[2J'},
  outcome: 'failed',
}

/** Runs the command in this process, without a terminal. */
async function run(argv: string[], verify: VerifyTables = async () => result, env: Record<string, string> = {}) {
  let request: VerifyRequest | undefined
  class Command extends VerifyCommand {
    static override id = 'table:migrate-verify'
    protected override verify: VerifyTables = (asked, ...rest) => {
      request = asked
      return verify(asked, ...rest)
    }

    protected override world() {
      return {...super.world(), clock: new VirtualClock()}
    }
  }

  return {...(await runCommand(Command, argv, env)), request}
}

describe('table:migrate-verify', () => {
  it('asks the library for what the flags say', async () => {
    const {code, request} = await run([
      ...NEEDED,
      ...'--mode sample --sample-rows 5K --parallel 9 --limit 10m --no-resume --show-values'.split(' '),
      ...'--max-rows-per-second 20K --max-bytes-per-second 30M'.split(' '),
    ])
    assert.equal(code, 0)
    assert.deepEqual(request, {
      limitMs: 600_000,
      maxBytesPerSecond: 30_000_000,
      maxRowsPerSecond: 20_000,
      mode: 'sample',
      parallel: 9,
      resume: false,
      sampleRows: 5000,
      showValues: true,
      sourceMetas: ['a:1', 'b:2'],
      table: 'users',
      targetCluster: 'onebox2',
      targetMetas: ['c:3', 'd:4'],
    })
  })

  it('compares every row and goes on from an earlier run unless told otherwise; the environment may tell', async () => {
    const {request} = await run(NEEDED)
    const {maxBytesPerSecond, maxRowsPerSecond, mode, parallel, resume, showValues} = request!
    assert.deepEqual(
      [maxBytesPerSecond, maxRowsPerSecond, mode, parallel, resume, showValues],
      [undefined, undefined, 'full', 4, true, false],
    )
    const told = await run(NEEDED, undefined, {PEGASUS_VERIFY_MAX_ROWS_PER_SECOND: '7K', PEGASUS_VERIFY_MODE: 'count'})
    assert.deepEqual([told.request?.mode, told.request?.maxRowsPerSecond], ['count', 7000])
  })

  it('takes no flags that make no sense', async () => {
    for (const flags of [
      ['--parallel', '0'],
      ['--max-rows-per-second', '0'],
      ['--mode', 'none'],
      ['--limit', '10'],
      ['--verify', 'full'],
    ]) {
      const {code, request} = await run([...NEEDED, ...flags])
      assert.deepEqual([code, request], [ExitCode.usage, undefined], flags.join(' '))
    }
  })

  for (const [name, outcome, code] of [
    ['the same', result, ExitCode.ok],
    ['different', different, ExitCode.needsOperator],
    ['unproved', unproved, ExitCode.resumable],
    ['failed', failed, ExitCode.failed],
    ['stopped', {...result, outcome: 'stopped', stoppedBy: 'signal'} satisfies VerifyResult, ExitCode.resumable],
  ] as const) {
    it(`exits ${code} when it is ${name}, and prints what the schema says`, async () => {
      const text = await run(NEEDED, async () => outcome)
      assert.equal(text.code, code)
      assert.equal((code === ExitCode.ok ? text.stdout : text.stderr).includes('users on onebox and onebox2: '), true)
      const json = await run([...NEEDED, '--json'], async () => outcome)
      assert.deepEqual([json.code, json.stderr], [code, ''])
      const document = JSON.parse(json.stdout)
      assert.deepEqual(violations(schema, document), [])
      assert.deepEqual(document, outcome)
    })
  }

  it('tells the figures, the differences and what to do, and lets nothing through to the terminal', async () => {
    const {stderr} = await run(NEEDED, async () => different)
    for (const part of [
      /DIFFERENT/,
      /6, and 2 by an earlier run, of 8 partitions, 12,348 rows compared in 3\.1 s \(400,000 a second\)/,
      /2 rows kept changing/,
      /It ended early/,
      /Differences \(the first 2 of 151\)/,
      /partition 1 {2}value {2}"\\x1b\[31m" "k"\n {4}source: 3 bytes, sha256 0123456789abcdef, no expiry\n {4}target: "shown", expiry 77/,
      /partition 2 {2}missing-on-target {2}"a" "b"\n.*\n {4}target: none/,
      /Next:\n {2}The copy of users on onebox2 is not sound\./,
    ])
      assert.match(stderr, part)
    const broken = await run(NEEDED, async () => failed)
    assert.match(broken.stderr, /partition 3 could not be read\\u001b\[2J/)
    const open = await run(NEEDED, async () => unproved)
    assert.match(open.stderr, /1 row left open\.[^]*Left open, among others:\n {2}partition 3 {2}"late" ""/)
    assert.match(open.stderr, /\n {2}\S+ table:migrate-verify -t users -c onebox2 -m c:3,d:4 --source-meta a:1,b:2\n$/)
  })

  it('says as text and JSON why it was refused', async () => {
    const refuse: VerifyTables = async () => {
      throw new MigratorError('verify.no_table', 'onebox has no table users', {exitCode: ExitCode.refused})
    }

    const text = await run(NEEDED, refuse)
    assert.equal(text.code, ExitCode.refused)
    const json = await run([...NEEDED, '--json'], refuse)
    const {code, exit} = JSON.parse(json.stdout).error
    assert.deepEqual([json.code, code, exit], [ExitCode.refused, 'verify.no_table', ExitCode.refused])
  })

  const progress: VerifyProgressEvent = {
    atMs: 1_700_000_000_000,
    differences: 1,
    etaMs: 61_000,
    mode: 'full',
    partitionCount: 8,
    partitionsDone: 3,
    partitionsEarlier: 2,
    rowsCompared: 123_456,
    rowsDone: 100_000,
    rowsPerSecond: 40_000,
    suspects: 5,
    type: 'progress',
  }

  it('prints a line of figures now and then', async () => {
    const verify: VerifyTables = async (_request, _world, {emit}) => {
      const {duplication, mode, source, target} = result
      emit({atMs: 0, duplication, mode, partitionCount: 8, partitionsEarlier: 2, source, target, type: 'started'})
      for (let n = 0; n < 30; n++) emit({...progress, atMs: progress.atMs + n * 250})
      return result
    }

    const {stdout} = await run(NEEDED, verify)
    assert.match(
      stdout,
      /^1970\S+ table=users event=started mode=full text="onebox \(table id 2\) and onebox2 \(5\), 8 partitions, 2 of them found the same by an earlier run; duplication 7 ships"\n/,
    )
    const lines = stdout.match(/event=progress.*/g)
    assert.equal(lines?.length, 2)
    assert.equal(
      lines[0],
      'event=progress partitions=5/8 rows=123456 rowsPerSecond=40000 etaMs=61000 suspects=5 differences=1',
    )
    assert.match(stdout, /event=ended outcome=same rows=12348/)
  })

  it('shows the figures on a terminal, and leaves nothing behind', async () => {
    const clock = new VirtualClock()
    const written: string[] = []
    const list = new VerifyList(clock, {write: (text) => written.push(text)}, {isStopping: () => false, table: 'users'})
    list.notice('before')
    assert.deepEqual(written, ['before\n'])
    await list.stop()
    await list.stop(result)
  })
})
