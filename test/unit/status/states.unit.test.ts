import assert from 'node:assert/strict'
import {readFile} from 'node:fs/promises'

import {ExitCode} from '../../../src/lib/exit-codes.js'
import {classify} from '../../../src/lib/migration/status/classify.js'
import {reportAll, reportTable} from '../../../src/lib/migration/status/report.js'
import {exitCodeOfLevel, stateIds, states, worstLevel} from '../../../src/lib/migration/status/states.js'
import {statusLines} from '../../../src/lib/ui/status.js'
import {type Schema, violations} from '../../support/json-schema.js'
import {denying, duplication, facts, node, nowMs, scenarios, shipping, source, switched, target} from './scenarios.js'

const root = new URL('../../../', import.meta.url)
const readText = (path: string) => readFile(new URL(path, root), 'utf8')
const sourceMetas = ['127.0.0.1:34601']
const head = {readAtMs: nowMs, source: {cluster: 'onebox', metas: sourceMetas}, tookMs: 12, unread: []}

describe('states of a table', () => {
  for (const {because, facts: found, name, state} of scenarios) {
    it(`calls ${name}: ${state}`, () => {
      const named = classify(found)
      assert.deepEqual([named.id, because.test(named.because)], [state, true], named.because)
    })
  }

  it('has a scenario for every state', () => {
    assert.deepEqual([...new Set(scenarios.map(({state}) => state))].sort(), [...stateIds].sort())
  })

  it('gives every state that needs a person something to do', () => {
    for (const {facts: found, state} of scenarios) {
      const {level, next} = reportTable(found, {sourceMetas})
      if (level !== 'needs-person') continue
      assert.notEqual(next.sentence, '', state)
    }
  })

  it('lets the worst table decide the exit code', () => {
    assert.equal(exitCodeOfLevel(worstLevel([])), ExitCode.ok)
    assert.equal(exitCodeOfLevel(worstLevel(['ok', 'in-progress'])), ExitCode.resumable)
    assert.equal(exitCodeOfLevel(worstLevel(['in-progress', 'unknown'])), ExitCode.failed)
    assert.equal(exitCodeOfLevel(worstLevel(['unknown', 'needs-person', 'ok'])), ExitCode.needsOperator)
    assert.equal(reportAll([], {...head, source: {metas: sourceMetas}}).level, 'unknown')
  })

  it('does not call a deny stuck before the bound that its own run was given', () => {
    const at = (agoMs: number, maxWriteDenyMs?: number) =>
      classify(
        facts({
          journal: denying(agoMs, {maxWriteDenyMs}),
          source: source({duplications: [duplication()]}, 'timeout*write'),
        }),
      ).id
    assert.deepEqual([at(124_000, 120_000), at(126_000, 120_000)], ['cutover', 'write-denied'])
    assert.deepEqual([at(290_000, 300_000), at(306_000, 300_000)], ['cutover', 'write-denied'])
    assert.deepEqual([at(124_000), at(126_000)], ['cutover', 'write-denied'])
  })

  it('does not believe a guard whose process is gone', () => {
    const guard = {alive: false, pid: 7, sinceMs: nowMs, state: 'watching' as const, text: ''}
    const stuck = facts({guard, journal: denying(200_000), source: source({duplications: []}, 'timeout*write')})
    assert.equal(classify(stuck).id, 'write-denied')
  })

  it('sees the last mutation of each partition as shipped on 2.4 and 2.5, and as pending on master', () => {
    const pending = (isMaster: boolean) =>
      reportTable(facts({source: source({duplications: [duplication()], isMaster, shipping: shipping([1, 3])})}), {
        sourceMetas,
      }).duplication?.pendingMutations
    assert.deepEqual([pending(false), pending(true)], [2, 4])
  })

  it('believes a node more than the journal, and the journal only without one', () => {
    const word = {closed: true, settings: [], word: true}
    const given = denying(10_000, {hints: word, root: undefined})
    const closed = source({}, 'reconfig*all')
    assert.equal(
      classify(facts({journal: given, node: undefined, source: closed, target: target({followerEnvs: {}})})).id,
      'handed-over',
    )
    const withNode = denying(200_000, {hints: word, root: '/metaproxy'})
    assert.equal(classify(facts({journal: withNode, source: closed, target: target()})).id, 'write-denied')
  })

  it('does not take a table that was moved back for one that was moved', () => {
    const old = denying(1, {ended: {atMs: nowMs - 1, outcome: 'migrated'}, hints: {settings: []}, root: undefined})
    const there = target({deny: 'reconfig*all', followerEnvs: {}})
    assert.equal(classify(facts({journal: old, node: undefined, target: there})).id, 'idle')
    assert.equal(classify(facts({journal: old, node: undefined, target: target({followerEnvs: {}})})).id, 'both-open')
  })
})

describe('status as text and JSON', () => {
  it('allows every state by its schema, and refuses what is not in it', async () => {
    const schema = JSON.parse(await readText('schemas/table-migrate-status.schema.json')) as Schema
    const prediction = {
      drainMs: {max: 22_000, min: 10_000},
      parts: ['a'],
      spreadMs: 31_000,
      sumMs: 94_000,
      switchMs: 10_000,
      undoMs: 31_000,
    }
    for (const {facts: found, name} of scenarios) {
      const report = reportAll(
        [reportTable({...found, prediction: {fast: prediction, plain: prediction}}, {sourceMetas})],
        head,
      )
      const text = JSON.stringify(report)
      assert.deepEqual(violations(schema, JSON.parse(text)), [], name)
    }

    const ids = (schema.$defs as Record<string, {enum: string[]}>).StateId!.enum
    assert.deepEqual([...ids].sort(), [...stateIds].sort())
    const report = reportAll([reportTable(facts(), {sourceMetas})], head)
    assert.deepEqual(
      violations(schema, {
        ...report,
        tables: [{...report.tables[0], state: 'fine', table: 7}],
        x: 1,
      }).sort(),
      [
        '$.tables[0].state is none of the allowed: fine',
        '$.tables[0].table is integer, not string',
        '$.x is not in the schema',
      ],
    )
  })

  it('shows title, meaning and next step of every state', () => {
    for (const {facts: found, name, state} of scenarios) {
      const status = reportTable(found, {sourceMetas})
      const text = statusLines(reportAll([status], head), true, 100).join('\n')
      const flat = text.replaceAll(/\s+/g, ' ')
      assert.ok(flat.startsWith(`users: ${states[state].title}`), name)
      assert.ok(flat.includes(states[state].meaning.replaceAll(/\s+/g, ' ')), name)
      if (status.next.command) assert.ok(text.includes(status.next.command.at(-1)!), name)
      assert.ok(
        text.split('\n').every((line) => line.length <= 100 || line.includes('pegasus table:')),
        name,
      )
    }
  })

  it('tells the command that mends, complete with where everything is', () => {
    const stuck = facts({
      journal: denying(200_000),
      proxies: [{address: '127.0.0.1:36601', side: 'source'}],
      source: source({duplications: [duplication()]}, 'timeout*write'),
      target: target(),
    })
    assert.equal(
      reportTable(stuck, {sourceMetas}).next.command?.join(' '),
      'pegasus table:migrate-rollback -t users --source-meta 127.0.0.1:34601 -c onebox2 -m 127.0.0.1:35601 -r /metaproxy -n 127.0.0.1:2181',
    )
    const half = facts({
      node: switched,
      proxies: [{address: '127.0.0.1:36601', side: 'target'}],
      source: source({duplications: [duplication({status: 'DS_PAUSE'})]}, 'timeout*write'),
      target: target({}, {knownFrom: 'duplication'}),
    })
    assert.equal(
      reportTable(half, {sourceMetas}).next.command?.join(' '),
      'pegasus table:migrate -t users --source-meta 127.0.0.1:34601 -c onebox2 -m 127.0.0.1:35601 -r /metaproxy -n 127.0.0.1:2181 --proxy 127.0.0.1:36601',
    )
    // Without the target's metas the command could not be run: only the sentence is told.
    assert.equal(reportTable({...half, target: undefined}, {sourceMetas}).next.command, undefined)
  })

  it('escapes what servers, nodes and files have said', () => {
    const nasty = '\u001B[2J\nfine'
    const found = facts({
      journal: denying(1000, {path: nasty}),
      node: node({cluster: nasty, side: 'other'}),
      source: source({duplications: [duplication({remote: nasty})]}),
      unread: [{code: 'x', message: nasty, what: 'server'}],
    })
    for (const detailed of [true, false]) {
      const lines = statusLines(reportAll([reportTable(found, {sourceMetas})], head), detailed, 100)
      assert.ok(!lines.join('').includes('\u001B'), lines.join('\n'))
    }
  })

  it('says so when there is nothing to show, and why when the cluster does not answer', () => {
    assert.match(statusLines(reportAll([], head), false, 100).join('\n'), /^No table is being migrated/)
    const unread = [{code: 'meta.no_leader', message: 'no meta leader', what: 'source'}]
    const text = statusLines(reportAll([], {...head, source: {metas: sourceMetas}, unread}), false, 100).join('\n')
    assert.match(text, /^source: no meta leader/)
  })
})
