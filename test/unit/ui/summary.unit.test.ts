import assert from 'node:assert/strict'
import {ExitCode} from '../../../src/lib/exit-codes.js'
import type {MigrationResult, Outcome, WriteDenyWindow} from '../../../src/lib/migration/result.js'
import type {CheckResult} from '../../../src/lib/migration/preflight/check.js'
import {checkLines} from '../../../src/lib/ui/checks.js'
import {exitCodeOf} from '../../../src/lib/ui/outcome.js'
import {planLines} from '../../../src/lib/ui/plan.js'
import {summaryLines, windowLine} from '../../../src/lib/ui/summary.js'

const START_MS = Date.UTC(2026, 10, 22, 8)
const COMMAND = 'pegasus table:migrate -t users'

function resultOf(outcome: Outcome, extra: Partial<MigrationResult> = {}): MigrationResult {
  return {
    checks: [],
    earlierWindows: [],
    effects: [],
    outcome,
    phases: [],
    schema: 1,
    settingsPutBack: [],
    source: {cluster: 'onebox', metas: ['a:1', 'b:2']},
    table: 'users',
    target: {cluster: 'onebox2', metas: ['c:3']},
    warnings: [],
    writeDeny: {},
    ...extra,
  }
}

const said = (result: MigrationResult) => summaryLines(result, COMMAND, 80).join('\n')

const check = (id: string, severity: CheckResult['severity']): CheckResult => ({
  evidence: `seen by ${id}`,
  id,
  remedy: severity === 'ok' ? '' : `mend ${id}`,
  severity,
  title: `title of ${id}`,
})

describe('the summary', () => {
  it('says after a migration how long writes were denied, what stays, and how to open or drop it', () => {
    const text = said(
      resultOf('migrated', {
        phases: [
          {durationMs: 1500, phase: 'preflight', state: 'done', summary: ''},
          {durationMs: 0, phase: 'verify', state: 'skipped', summary: ''},
        ],
        settingsPutBack: ['one', 'two'],
        verification: {partitions: 8, rowsCompared: 10_000, rowsCountedSource: 5, rowsCountedTarget: 6},
        writeDeny: {
          firstRefusedAtMs: START_MS,
          setAtMs: START_MS - 1000,
          sourceClosedAtMs: START_MS + 14_000,
          switchedAtMs: START_MS + 10_000,
          windowMs: 10_000,
        },
      }),
    )
    assert.match(text, /^users was moved from onebox to onebox2\.\n/)
    assert.match(text, /Writes were denied for 10\.0 s from 08:00:00 UTC: switched at 08:00:10 UTC/)
    assert.match(text, /For 4\.0 s after the switch, reads through the source may have been stale\./)
    assert.match(text, /Verified 8 partitions: 10,000 rows compared/)
    assert.match(text, /Phases: Preflight 1\.5 s, Verify skipped\./)
    assert.match(text, /Settings put back: 2\./)
    assert.match(text, /In the\s+Pegasus shell on onebox \(a:1,b:2\)/)
    assert.match(text, /drop users -r 604800/)
    assert.match(text, /use users, then del_app_envs replica\.deny_client_request/)
    assert.doesNotMatch(text, /Next:/)
  })

  it('gives the same command after every run that it goes on from', () => {
    for (const outcome of ['handed-over', 'stopped', 'switched-unfinished', 'write-denied'] as const)
      assert.ok(said(resultOf(outcome)).endsWith(`\nNext:\n  ${COMMAND}`), outcome)
    for (const outcome of ['dry-run', 'migrated', 'refused'] as const)
      assert.ok(!said(resultOf(outcome)).includes(COMMAND), outcome)
  })

  it('says the error with its facts and its code, escaped', () => {
    const error = {code: 'drain.limit', facts: {lag: 12, nothing: undefined, server: 'a:1'}, message: 'stuck\u001B[2J'}
    const text = said(resultOf('stopped', {error, next: 'Mend the server.\nThen go on.'}))
    assert.match(text, /stuck\\u001b\[2J\n {2}lag: 12, server: a:1\n {2}\(drain\.limit\)/)
    assert.match(text, /Next:\n {2}Mend the server\.\n {2}Then go on\./)
  })

  it('tells a phase that was stopped from one that failed', () => {
    const phases = [
      {durationMs: 1500, phase: 'preflight', state: 'failed', startedAtMs: START_MS, summary: ''},
    ] as const
    const of = (code: string) =>
      said(resultOf('stopped', {error: {code, facts: {}, message: 'x'}, phases: [...phases]}))
    assert.match(of('ui.signal'), /Phases: Preflight 1\.5 s \(stopped\)\./)
    assert.match(of('wait.limit'), /Phases: Preflight 1\.5 s \(failed\)\./)
  })

  it('leaves nobody without a next deed', () => {
    const error = {code: 'zk.unreachable', facts: {}, message: 'no ZooKeeper at zk:2181'}
    assert.match(said(resultOf('refused', {error})), /Next:\n {2}Mend what is named above/)
    assert.doesNotMatch(said(resultOf('refused')), /Next:/)
    const left = {code: 'ui.signal', facts: {}, message: 'stopped by SIGINT (Ctrl-C)'}
    assert.match(said(resultOf('refused', {error: left})), /Next:\n {2}The same command begins anew\./)
  })

  it('shows the checks of a refusal and of a dry run, and the ordered steps of a dry run', () => {
    const checks = [check('fine', 'ok'), check('bad', 'error')]
    assert.match(said(resultOf('refused', {checks})), /STOPS {4}bad: title of bad/)
    const text = said(resultOf('dry-run', {checks, effects: ['first', 'second']}))
    assert.match(text, /nothing was changed/)
    assert.match(text, / 1\. {2}first\n 2\. {2}second/)
  })

  it('keeps to the width, except for commands that are to be copied', () => {
    const long = 'word '.repeat(60).trim()
    const lines = summaryLines(
      resultOf('stopped', {effects: [long], error: {code: 'x', facts: {}, message: long}, warnings: [long, long]}),
      'x'.repeat(200),
      80,
    )
    assert.deepEqual(
      lines.filter((line) => line.length > 80),
      [`  ${'x'.repeat(200)}`],
    )
  })

  it('tells every window in which writes were denied', () => {
    const lifted: WriteDenyWindow = {firstRefusedAtMs: START_MS, liftedAtMs: START_MS + 9000, windowMs: 9000}
    const text = said(resultOf('write-denied', {earlierWindows: [lifted], writeDeny: {setAtMs: START_MS + 60_000}}))
    assert.match(text, /WRITES TO users MAY BE DENIED/)
    assert.match(text, /denied for 9\.0 s from 08:00:00 UTC: allowed again at 08:00:09 UTC/)
    assert.match(text, /Writes have been denied since 08:01:00 UTC/)
    assert.equal(windowLine({}), undefined)
    // Taken back before the first primary refused.
    assert.match(windowLine({liftedAtMs: START_MS + 2000, setAtMs: START_MS})!, /denied for 2\.0 s/)
  })

  it('numbers a plan so that the sentences stand below each other', () => {
    const lines = planLines(
      Array.from({length: 10}, (_, index) => `step ${index}`),
      80,
    )
    assert.equal(lines[0], '  1.  step 0')
    assert.equal(lines[9], ' 10.  step 9')
  })
})

describe('the checks', () => {
  it('are counted, and shown when they are not ok, the worst first', () => {
    const checks = [
      check('a', 'ok'),
      check('b', 'warning'),
      check('c', 'confirm'),
      check('d', 'error'),
      check('e', 'skipped'),
    ]
    const lines = checkLines(checks, 80)
    const counts = 'Preflight: 5 checks, 1 ok, 1 that stops it, 1 to confirm, 1 warning, 1 not\n  made.'
    assert.equal(lines.slice(0, 2).join('\n'), counts)
    const order = lines
      .filter((line) => line.includes('title of'))
      .map((line) => line.trim().split(/\s+/).slice(0, 2).join(' '))
    assert.deepEqual(order, ['STOPS d:', 'CONFIRM c:', 'WARNING b:'])
    assert.ok(lines.includes('           > mend d'))
  })
})

describe('checks that could not be made', () => {
  it('are one finding when they have one reason', () => {
    const reason = 'no meta leader within 5 s (a:1: connection refused)'
    const unjudged = (id: string, what: string): CheckResult => ({
      ...check(id, 'error'),
      evidence: `not judged, because ${what} could not be read: ${reason}`,
      remedy: 'repair it',
    })
    const lines = checkLines(
      [unjudged('a', 'source.info'), check('b', 'error'), unjudged('c', 'source.table, source.nodes')],
      80,
    )
    assert.equal(lines[0], 'Preflight: 3 checks, 0 ok, 3 that stop it.')
    const said = lines.join('\n')
    assert.match(said, /STOPS {4}2 checks could not be made: a, c\n {11}no meta leader within/)
    assert.equal(said.match(/no meta leader/g)?.length, 1)
    assert.match(said, /STOPS {4}b: title of b/)
  })

  it('are told one by one otherwise, and their titles keep to the width', () => {
    const long = {...check('a', 'error'), title: 'a title that is so long that it does not fit into one line of forty'}
    assert.ok(checkLines([long], 40).every((line) => line.length <= 40))
  })
})

describe('the exit code', () => {
  const outcomes: [Outcome, number, number][] = [
    ['dry-run', ExitCode.ok, ExitCode.ok],
    ['handed-over', ExitCode.ok, ExitCode.ok],
    ['migrated', ExitCode.ok, ExitCode.ok],
    ['refused', ExitCode.refused, ExitCode.interrupted],
    ['stopped', ExitCode.resumable, ExitCode.interrupted],
    ['switched-unfinished', ExitCode.needsOperator, ExitCode.needsOperator],
    ['write-denied', ExitCode.needsOperator, ExitCode.needsOperator],
  ]
  for (const [outcome, alone, interrupted] of outcomes) {
    it(`of ${outcome} is ${alone}, and ${interrupted} after Ctrl-C`, () => {
      assert.equal(exitCodeOf(resultOf(outcome)), alone)
      assert.equal(exitCodeOf(resultOf(outcome), 'SIGINT'), interrupted)
    })
  }

  it('names the signal', () => {
    assert.equal(exitCodeOf(resultOf('stopped'), 'SIGTERM'), 143)
    assert.equal(exitCodeOf(resultOf('stopped'), 'SIGHUP'), 129)
  })
})
