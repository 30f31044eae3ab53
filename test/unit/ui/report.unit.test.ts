import assert from 'node:assert/strict'
import {chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import fc from 'fast-check'
import {isMigratorError} from '../../../src/lib/errors.js'
import type {MigrationEvent, UnstampedEvent} from '../../../src/lib/migration/events.js'
import {windowsOfEarlierRuns} from '../../../src/lib/migration/earlier-windows.js'
import type {Effect} from '../../../src/lib/migration/effects.js'
import type {JournalRecord} from '../../../src/lib/migration/journal.js'
import {htmlPage} from '../../../src/lib/ui/report/html.js'
import {markdownPage} from '../../../src/lib/ui/report/markdown.js'
import {escape, formatClock, TimeAxis} from '../../../src/lib/ui/report/picture.js'
import {type MigrationReport, Recorder} from '../../../src/lib/ui/report/record.js'
import {timelinePicture} from '../../../src/lib/ui/report/timeline.js'
import {shownParts, windowPicture} from '../../../src/lib/ui/report/window.js'
import {requireWritable, writeReport} from '../../../src/lib/ui/report/write.js'
import {readSchema, violations} from '../../support/json-schema.js'
import {rehearsedReport} from '../../support/report.js'

const HOSTILE = `x"><script>alert('1')</script>&\u202E\u001B[2J\n| # *`
const at = (atMs: number, event: UnstampedEvent) => ({...event, atMs}) as MigrationEvent

describe('the record of a run', () => {
  it('has a span for each phase and each undo, also for those that did not end', () => {
    const recorder = new Recorder()
    for (const event of [
      at(0, {phase: 'deny', type: 'phase-started'}),
      at(1000, {durationMs: 1000, phase: 'deny', summary: 'denied', type: 'phase-finished'}),
      at(1000, {phase: 'drain', type: 'phase-started'}),
      at(4000, {reason: 'stopped', sentence: 'lift', type: 'undo-started'}),
      at(6000, {ok: true, sentence: 'lifted', type: 'undo-finished'}),
      at(7000, {phase: 'finish', type: 'phase-started'}),
    ])
      recorder.onEvent(event)
    assert.deepEqual(
      recorder.spans.map(({endMs, phase, startMs, state}) => [phase, startMs, endMs, state]),
      [
        ['deny', 0, 1000, 'done'],
        ['drain', 1000, 4000, 'failed'],
        ['undo', 4000, 6000, 'done'],
        ['finish', 7000, undefined, 'running'],
      ],
    )
    assert.deepEqual(
      recorder.remarks.map(({text}) => text),
      ['lift (stopped)', 'lifted'],
    )
  })

  it('of a day stays small, and spans all of it', () => {
    const recorder = new Recorder()
    const day = 86_400
    for (let second = 0; second < day; second++)
      recorder.onEvent(
        at(second * 1000, {
          phase: 'catch-up',
          progress: {lagMutations: second, text: ''},
          step: '',
          type: 'progress',
        }),
      )
    const {samples} = recorder
    assert.ok(samples.length > 500 && samples.length < 1200, `${samples.length} samples`)
    assert.ok(samples[0]!.atMs === 0 && samples.at(-1)!.atMs > (day - 200) * 1000)
    assert.ok(samples.every(({atMs}, index) => index === 0 || atMs > samples[index - 1]!.atMs))
  })
})

describe('the pictures', () => {
  it('keep every moment inside, round times on the axis', () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(), fc.integer(), (from, length, moment) => {
        const x = new TimeAxis(from, from + length, 100, 900).x(moment)
        assert.ok(x >= 100 && x <= 900)
      }),
    )
    const grid = new TimeAxis(0, 63_000, 0, 900).grid(0, 10)
    assert.deepEqual(
      [...grid.matchAll(/>([\d:]+)</g)].map(([, text]) => text),
      ['0:00', '0:10', '0:20', '0:30', '0:40', '0:50', '1:00'],
    )
    assert.equal(formatClock(7_384_000, 1000), '2:03:04')
    assert.equal(formatClock(400, 200), '0.4 s')
  })

  it('show at most 64 partitions, the first and the last to refuse', () => {
    const partitions = Array.from({length: 500}, (_, partition) => ({partition, refusedAtMs: partition, server: 'a:1'}))
    const picture = windowPicture({firstRefusedAtMs: 0, partitions, setAtMs: 0, windowMs: 1000}, 2000)
    assert.equal(picture.match(/class="bar window"/g)?.length, 64)
    assert.match(picture, /partition 0 on/)
    assert.match(picture, /partition 499 on/)
    assert.equal(windowPicture({}, 2000), '')
  })

  it("have the window's parts beside what the servers needed, and what their timers allow", async () => {
    const {result} = await rehearsedReport('succeeds')
    const takenBack = shownParts(
      {drainedAtMs: 9000, firstRefusedAtMs: 1000, lastRefusedAtMs: 2500, liftedAtMs: 12_000, setAtMs: 0},
      result!.plan,
    )
    assert.deepEqual(takenBack, [
      {name: 'first → last primary refuses', predicted: 'up to 2.0 s', tookMs: 1500},
      {
        name: 'last refuses → everything accepted is on the target, proved',
        predicted: '10.0 s to 22.0 s',
        tookMs: 6500,
      },
      {name: 'refused → allowed again', predicted: '', tookMs: 11_000},
    ])
    const [deny] = shownParts({parts: [{floorMs: 1200, name: 'deny', tookMs: 1500}], setAtMs: 0}, result!.plan)
    assert.deepEqual(deny, {...takenBack[0], floorMs: 1200})
  })
})

describe('cutovers of earlier runs', () => {
  const after = (atMs: number, kind: 'deny' | 'lift-deny'): JournalRecord => ({
    at: new Date(atMs).toISOString(),
    effect: {before: null, kind, value: 'reconfig*write'} as Effect,
    kind: 'after',
    outcome: 'done',
    run: 'r1',
  })

  it('are read from the journal, of this migration alone', () => {
    const end = (outcome: string): JournalRecord => ({at: new Date(0).toISOString(), kind: 'end', outcome, run: 'r1'})
    const past = [
      after(1000, 'deny'),
      after(2000, 'lift-deny'),
      end('rolled-back'),
      after(3000, 'deny'),
      after(3500, 'deny'),
      after(5000, 'lift-deny'),
      end('stopped'),
      after(9000, 'deny'),
    ]
    assert.deepEqual(windowsOfEarlierRuns(past), [{liftedAtMs: 5000, setAtMs: 3000}])
    assert.deepEqual(windowsOfEarlierRuns([after(1, 'lift-deny')]), [])
  })

  it('have bars of their own in the timeline, as long as they are not too far back, and a picture each', async () => {
    const report = await rehearsedReport('again')
    const {startedAtMs} = report
    const bars = () => timelinePicture(report).match(/class="bar window"/g)?.length
    assert.equal(bars(), 2)
    const window = {liftedAtMs: startedAtMs - 1000, setAtMs: startedAtMs - 9000}
    report.result!.windowsOfEarlierRuns = [window]
    assert.equal(bars(), 3)
    assert.match(htmlPage(report), /<h3>Cutover 1 of 3, of an earlier run, \d{4}-/)
    Object.assign(window, {liftedAtMs: startedAtMs - 86_390_000, setAtMs: startedAtMs - 86_400_000})
    assert.equal(bars(), 2)
    assert.match(htmlPage(report), /Cutover 3 of 3<\/h3>/)
  })
})

describe('the report', () => {
  it('as a page tells everything, asks nobody for anything, and lets nothing through', async () => {
    const report = await rehearsedReport('again', HOSTILE)
    const {result} = report
    result!.settingsPutBack = [HOSTILE]
    result!.verification = {partitions: 8, rowsCompared: 10_000, rowsCountedSource: 5, rowsCountedTarget: 5}
    result!.error = {code: HOSTILE, facts: {[HOSTILE]: HOSTILE}, message: HOSTILE}
    result!.next = HOSTILE
    const page = htmlPage(report)
    for (const title of [
      'Phases',
      'Writes denied',
      'Lag',
      'Verification',
      'Warnings',
      'Checks',
      'What was changed',
      'Settings put back',
    ])
      assert.ok(page.includes(`<h2>${title}`), title)
    assert.match(page, /10,000 rows of 8 partitions compared/)
    assert.match(page, /servers 2\.5\.0/)
    assert.doesNotMatch(page, /<script|\ssrc=|\shref=|url\(|@import|https?:/i)
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(page, /[\u0000-\u0009\u000B-\u001F\u202E]/)
    assert.deepEqual(unbalanced(page), [])
  })

  it('of a run that broke says so first', async () => {
    const report: MigrationReport = {
      ...(await rehearsedReport('succeeds')),
      exitCode: 5,
      failure: {code: 'ui.broken', message: 'undefined is not a partition', next: 'look'},
      result: undefined,
    }
    assert.match(htmlPage(report), /<h1>The run that was to move users broke: undefined is not a partition<\/h1>/)
    assert.match(markdownPage(report), /^# The run that was to move users broke/)
    assert.match(htmlPage({...report, spans: []}), /It ended before the first of them/)
  })

  it('as Markdown is headings, lists and whole tables', async () => {
    const report = await rehearsedReport('fails', HOSTILE)
    const page = markdownPage(report)
    assert.match(page, /^## What went wrong$/m)
    assert.doesNotMatch(page, /<script/)
    for (const block of page.split('\n\n').filter((text) => text.startsWith('|'))) {
      const columns = block
        .trimEnd()
        .split('\n')
        .map((line) => line.replaceAll(String.raw`\|`, '').split('|').length)
      assert.equal(new Set(columns).size, 1, block)
    }
  })

  it('escapes whatever there is', () => {
    fc.assert(
      fc.property(fc.string({unit: 'binary'}), (text) => {
        assert.doesNotMatch(escape(text), /[<>"']|&(?!amp;|lt;|gt;|quot;|#39;)/)
      }),
    )
  })
})

describe('the file of a report', () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'table-migrator-report-'))
  })
  afterEach(() => rmSync(directory, {force: true, recursive: true}))

  it('is of the kind that its name says, and whole', async () => {
    const report = await rehearsedReport('succeeds')
    for (const [name, begin] of [
      ['a.html', '<!doctype html>'],
      ['a.md', '# users was moved'],
      ['a.JSON', '{\n  "command"'],
    ] as const) {
      await requireWritable(join(directory, name))
      await writeReport(join(directory, name), report)
      assert.ok(readFileSync(join(directory, name), 'utf8').startsWith(begin), name)
    }

    const json = JSON.parse(readFileSync(join(directory, 'a.JSON'), 'utf8'))
    assert.deepEqual(json, structuredClone(report))
    assert.deepEqual(violations(readSchema('report'), json), [])
    assert.equal(readdirSync(directory).length, 3)
  })

  it('is refused beforehand where none can be written', async () => {
    const refused = (path: string, code: string) =>
      assert.rejects(requireWritable(path), (error) => isMigratorError(error, code) && error.exitCode === 2)
    await refused(join(directory, 'none', 'a.html'), 'report.unwritable')
    await refused(join(directory, 'a.pdf'), 'usage')
    mkdirSync(join(directory, 'b.html'))
    await refused(join(directory, 'b.html'), 'report.unwritable')
    if (process.getuid?.() !== 0) {
      writeFileSync(join(directory, 'c.html'), '')
      chmodSync(join(directory, 'c.html'), 0o400)
      await refused(join(directory, 'c.html'), 'report.unwritable')
    }

    assert.deepEqual(
      readdirSync(directory).filter((name) => name.endsWith('.part')),
      [],
    )
  })
})

/** Elements that are not closed where they should be; what HTML closes by itself is not ours to use. */
function unbalanced(page: string): string[] {
  const open: string[] = []
  const wrong: string[] = []
  const body = page.replace(/<style>.*?<\/style>/s, '').replace('<!doctype html>', '')
  for (const [, slash, name, end] of body.matchAll(/<(\/?)([a-z\d]+)[^>]*?(\/?)>/g)) {
    if (slash) {
      const last = open.pop()
      if (last !== name) wrong.push(`</${name}> for <${last}>`)
    } else if (!end && name !== 'meta') open.push(name!)
  }

  return [...wrong, ...open]
}
