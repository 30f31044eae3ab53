import assert from 'node:assert/strict'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {accountLines, type DemoAccount, demoExitCode} from '../../sandbox/demo-account.js'

const record = (second: number, phase: string, state: string) =>
  JSON.stringify({
    at: `2026-11-22T09:00:${String(second).padStart(2, '0')}.500Z`,
    kind: 'phase',
    phase,
    run: 'a',
    state,
  })

describe('account of the demo', () => {
  let directory: string
  let account: DemoAccount

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'table-migrator-account-'))
    const journalPath = join(directory, 'journal')
    const lines = [
      record(0, 'preflight', 'started'),
      record(3, 'preflight', 'done'),
      record(3, 'duplicate', 'started'),
      record(10, 'duplicate', 'done'),
      record(11, 'catch-up', 'started'),
    ]
    await writeFile(journalPath, lines.map((line) => `${line}\n`).join(''))
    account = {
      exitCode: 0,
      journalPath,
      report: {
        acknowledged: 35_889,
        configQueries: 3,
        failed: 255,
        failures: new Map(),
        longestGapMs: 20_140,
        outages: [],
        partitionGapsMs: new Map(),
        unanswered: 255,
        windowMs: 21_240,
      },
      saidWindow: '21.5 s',
      seconds: 136.3,
      targetCluster: 'onebox2',
      verification: {checked: 2000, lost: [], stale: []},
    }
  })

  afterEach(() => rm(directory, {force: true, recursive: true}))

  it('tells phases, windows and writes', async () => {
    const rows = (await accountLines(account)).map((line) => line.trim().split(/ {2,}/))
    assert.deepEqual(rows, [
      ['preflight', '3.0 s'],
      ['duplicate', '7.0 s'],
      ['the whole migration', '136.3 s'],
      ['write-deny window, as the tool says', '21.5 s'],
      ['as the clients saw it', '21.2 s; longest for one partition 20.1 s'],
      ['acknowledged writes', '35,889 (255 more were refused or not answered)'],
      ['keys compared on onebox2', '2,000'],
      ['lost writes', '0'],
    ])
    assert.equal(demoExitCode(account), 0)
  })

  it('fails and names the keys when a write is lost or old', async () => {
    account.verification.lost.push({acceptable: ['v7'], found: undefined, key: 'load7'})
    account.verification.stale.push({acceptable: ['v8', undefined], found: 'v3', key: 'load8'})
    const lines = await accountLines(account)
    assert.match(lines.join('\n'), /lost writes +2\n +load7: found undefined, may be v7\n +load8: found v3/)
    assert.equal(demoExitCode(account), 1)
    assert.equal(demoExitCode({...account, exitCode: 5}), 5)
  })

  it("fails with the command's exit code", () => {
    assert.equal(demoExitCode({...account, exitCode: 4}), 4)
  })
})
