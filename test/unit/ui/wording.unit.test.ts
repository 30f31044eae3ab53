import assert from 'node:assert/strict'
import {readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import type {MigrationEvent, MigrationResult} from '../../../src/lib/migration/index.js'
import {nounOf, plural} from '../../../src/lib/plural.js'
import {checkLines} from '../../../src/lib/ui/checks.js'
import {planLines} from '../../../src/lib/ui/plan.js'
import {htmlPage} from '../../../src/lib/ui/report/html.js'
import {markdownPage} from '../../../src/lib/ui/report/markdown.js'
import {Recorder} from '../../../src/lib/ui/report/record.js'
import {rollbackSummaryLines} from '../../../src/lib/ui/rollback-summary.js'
import {statusLines} from '../../../src/lib/ui/status.js'
import {summaryLines} from '../../../src/lib/ui/summary.js'
import {Simulation, TABLE} from '../../simulation/simulation.js'

const NOUNS =
  'attempts|bytes|characters|checks|clients|cutovers|duplications|keys|metaproxies|metas|mutations|nodes|partitions|primaries|probes|reads|replicas|rows|servers|settings|tables|times|warnings|writes'
const WRONG = new RegExp(String.raw`(?<![\d.,:/-])1 (${NOUNS})\b`)
const source = fileURLToPath(new URL('../../../src/lib/', import.meta.url))

const emptyReport = {
  level: 'ok' as const,
  readAtMs: 0,
  schema: 1 as const,
  source: {cluster: 'onebox', metas: ['a:1']},
  tables: [],
  tookMs: 1,
  unread: [],
}

/** What a person gets to read of a run: each line with where it stands. */
function assertNumber(texts: Record<string, string | string[]>): void {
  for (const [where, text] of Object.entries(texts)) {
    for (const line of [text].flat().flatMap((part) => part.split('\n'))) assert.doesNotMatch(line, WRONG, where)
  }
}

function reportOf(events: MigrationEvent[], result: MigrationResult) {
  const recorder = new Recorder()
  for (const event of events) recorder.onEvent(event)
  const [first, last] = [events[0]!, events.at(-1)!]
  const {remarks, samples, spans} = recorder
  return {
    command: 'pegasus table:migrate',
    endedAtMs: last.atMs,
    exitCode: 0 as const,
    remarks,
    result,
    samples,
    schema: 1 as const,
    spans,
    startedAtMs: first.atMs,
    table: TABLE,
    tool: {name: 'table-migrator', node: '20', version: '0'},
  }
}

/** Every text of the events, whatever its member is called. */
function textsOf(events: object[]): string[] {
  return events.flatMap((event) => JSON.stringify(event).split('"'))
}

describe('a number before a noun', () => {
  it('has its noun in the right number', () => {
    assert.equal(plural(1, 'row'), '1 row')
    assert.equal(plural(0, 'row'), '0 rows')
    assert.equal(plural(12_345, 'row is', 'rows are'), '12,345 rows are')
    assert.equal(nounOf(1, 'primary', 'primaries'), 'primary')
    assert.equal(nounOf(2, 'primary', 'primaries'), 'primaries')
  })

  it('is never put before a fixed plural in a message', () => {
    const direct = new RegExp(String.raw`\}(?: (?:other|living|more|source|target|pending))? (${NOUNS})\b`)
    // More than one by what stands before it; and a side, which is no number.
    const known = [
      /same\.length\} checks could/,
      /\$\{side\} metas/,
      /(bytes|value|Key|key|BYTES)[\w.]*\} (bytes|characters)/,
      /SAMPLES\} times/,
      /attempts\} attempts/,
    ]
    const found = (readdirSync(source, {recursive: true}) as string[])
      .filter((file) => file.endsWith('.ts') && !file.startsWith('rpc/'))
      .flatMap((file) =>
        readFileSync(join(source, file), 'utf8')
          .split('\n')
          .filter((line) => !/^\s*(\*|\/\/|\/\*|import|export)/.test(line) && line.includes('${'))
          .filter((line) => direct.test(line.replaceAll(/\$\{plural\([^}]*\)\}/g, '')))
          .filter((line) => !known.some((pattern) => pattern.test(line)))
          .map((line) => `${file}: ${line.trim()}`),
      )
    assert.deepEqual(found, [])
  })
})

describe('the messages of a run with one of everything', function () {
  this.timeout(90_000)
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  it('say it in the singular: plan, events, outcome, status, report, way back', async () => {
    simulation = await Simulation.open({load: false, partitionCount: 1, rows: 1, servers: 2})
    let stopped = false
    const first = simulation.migrate({
      onEvent(event) {
        if (stopped || event.type !== 'phase-started' || !('phase' in event) || event.phase !== 'drain') return
        stopped = true
        first.signal.abort(new Error('stopped'))
      },
    })
    const taken = await simulation.run(first.result)
    assert.equal(taken.outcome, 'stopped')
    const status = await simulation.run(simulation.status())
    const second = simulation.migrate()
    const result = await simulation.run(second.result)
    assert.equal(result.outcome, 'migrated')
    for (const [run, ended] of [
      [first, taken],
      [second, result],
    ] as const) {
      const report = reportOf(run.events as MigrationEvent[], ended)
      assertNumber({
        checks: checkLines(ended.checks, 200),
        events: textsOf(run.events),
        html: htmlPage(report),
        markdown: markdownPage(report),
        plan: planLines(ended.effects, 200),
        result: textsOf([ended]),
        summary: summaryLines(ended, 'pegasus table:migrate', 200),
      })
    }

    const back = simulation.rollback({}, {allowDataLoss: true})
    const returned = await simulation.run(back.result)
    assertNumber({
      events: textsOf(back.events),
      rollback: rollbackSummaryLines(returned, 200),
      status: statusLines({...emptyReport, tables: [status]}, true, 200),
    })
  })
})
