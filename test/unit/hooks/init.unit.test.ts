import assert from 'node:assert/strict'
import {spawnSync} from 'node:child_process'
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import type {Config} from '@oclif/core'

import hook from '../../../src/hooks/init.js'
import {deniedSince, findPerhapsDenied} from '../../../src/lib/migration/journal-tail.js'
import {journalFileName} from '../../../src/lib/migration/journal.js'

const AT = '2026-01-01T08:00:00.000Z'
const root = fileURLToPath(new URL('../../..', import.meta.url))
const line = (record: object) => `${JSON.stringify({at: AT, run: 'r', ...record})}\n`
const before = (kind: string) => line({effect: {kind}, kind: 'before'})
const after = (kind: string, outcome = 'done') => line({effect: {kind}, kind: 'after', outcome})
const begin = line({kind: 'begin', table: 'users', targetCluster: 'b', version: 1})
const end = (outcome: string) => line({kind: 'end', outcome})

describe('the end of a journal', () => {
  const cases: [string, string, boolean][] = [
    ['nothing yet', begin, false],
    ['about to deny', begin + before('deny'), true],
    ['denied', begin + before('deny') + after('deny'), true],
    ['a deny whose answer was lost', begin + before('deny') + after('deny', 'failed'), true],
    [
      'denied, and paused since',
      begin + before('deny') + after('deny') + before('pause-duplication') + after('pause-duplication'),
      true,
    ],
    ['lifted', begin + before('deny') + after('deny') + before('lift-deny') + after('lift-deny'), false],
    [
      'lifting failed',
      begin + before('deny') + after('deny') + before('lift-deny') + after('lift-deny', 'failed'),
      true,
    ],
    ['about to switch', begin + before('deny') + after('deny') + before('switch-node'), true],
    ['switched', begin + before('deny') + after('deny') + before('switch-node') + after('switch-node'), false],
    ['ended well', begin + before('deny') + after('deny') + end('migrated'), false],
    ['ended with the deny', begin + before('deny') + after('deny') + end('write-denied'), true],
    ['a later run that did nothing', begin + before('deny') + after('deny') + begin, true],
    ['a torn last line', begin + before('deny') + '{"at":"2026', true],
    ['a return, the target denied', begin + end('migrated') + before('deny-target') + after('deny-target'), true],
    [
      'a return taken back',
      begin + before('deny-target') + after('deny-target') + before('lift-target') + after('lift-target'),
      false,
    ],
    ['a return, switched back', begin + before('switch-node-back') + after('switch-node-back'), true],
    ['no journal at all', 'x\n\0\n[]\nnull\n{}', false],
  ]
  for (const [name, text, denied] of cases) {
    it(`${name}: ${denied ? 'perhaps denied' : 'not denied'}`, () => {
      assert.equal(deniedSince(text), denied ? AT : undefined)
    })
  }
})

describe('init hook', () => {
  let dataDir: string
  let directory: string

  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'table-migrator-hook-'))
    directory = join(dataDir, 'table-migrator')
    mkdirSync(directory)
  })

  afterEach(() => rmSync(dataDir, {recursive: true}))

  const journal = (table: string, text: string) => writeFileSync(join(directory, journalFileName(table, 'b')), text)

  async function run(id: string, argv: string[] = []): Promise<string> {
    const {write} = process.stderr
    let told = ''
    process.stderr.write = (text) => {
      told += String(text)
      return true
    }

    try {
      const config = {bin: 'pegasus', dataDir} as Config
      await hook.call({} as never, {argv, config, context: {} as never, id})
    } finally {
      process.stderr.write = write
    }

    return told
  }

  it('warns in one line, with the command to run, on any command', async () => {
    journal('users', begin + before('deny') + after('deny'))
    journal('orders', begin + end('migrated'))
    assert.equal(
      await run('ls'),
      `warning: table users may be write-denied since ${AT}; run: pegasus table:migrate-rollback -t users\n`,
    )
  })

  it('is silent for its own commands, in JSON mode, and while the run that denies is alive', async () => {
    journal('users', begin + before('deny') + after('deny'))
    assert.equal(await run('table:migrate'), '')
    assert.equal(await run('table:migrate-status'), '')
    assert.equal(await run('ls', ['--json']), '')
    writeFileSync(join(directory, 'users@onebox.lock'), JSON.stringify({pid: process.pid}))
    assert.equal(await run('ls'), '')
    writeFileSync(join(directory, 'users@onebox.lock'), JSON.stringify({pid: 2 ** 22 + 1}))
    assert.notEqual(await run('ls'), '')
  })

  it('says nothing and breaks nothing where there is nothing, or nothing readable', async () => {
    assert.equal(await run('ls'), '')
    journal('users', '\0\0')
    mkdirSync(join(directory, 'x@y.jsonl'))
    writeFileSync(join(directory, '%E0%A4%A@b.jsonl'), begin + before('deny'))
    assert.equal(await run('ls'), '')
    rmSync(directory, {recursive: true})
    assert.equal(await run('ls'), '')
  })

  it('shows no control characters of a file name', async () => {
    writeFileSync(join(directory, 'a%1B%5B31m@b.jsonl'), begin + before('deny'))
    assert.match(await run('ls'), /^warning: table 'a\\u001b\[31m' /)
  })

  it('shows a name that a shell takes as one word, and no control characters of a date', async () => {
    const name = '$(reboot) it\'s "`x`"\u{202E}'
    const deny = before('deny').replace(/"at":"[^"]*"/, '"at":"\\u001b[2J\\u009b\\u2028"')
    writeFileSync(join(directory, `${encodeURIComponent(name)}@b.jsonl`), begin + deny)
    const said = await run('ls')
    assert.match(said, /since \\u001b\[2J\\u009b\\u2028; run: pegasus table:migrate-rollback -t /)
    assert.doesNotMatch(said.slice(0, -1), /[\p{Cc}\p{Cf}\p{Zl}]/u)
    const word = said.trim().split(' -t ')[1]!
    const shell = spawnSync('sh', ['-c', `printf %s ${word}`], {encoding: 'utf8'})
    assert.equal(shell.stdout, '$(reboot) it\'s "`x`"\\u202e')
  })

  it('takes under 5 ms with 50 journals of 100 KB', () => {
    const phases = line({kind: 'phase', phase: 'x', state: 'done'}).repeat(1100)
    for (let i = 0; i < 50; i++) journal(`t${i}`, begin + phases + (i === 7 ? before('deny') : phases))
    const times = Array.from({length: 20}, () => {
      const startMs = performance.now()
      assert.equal(findPerhapsDenied(directory).length, 1)
      return performance.now() - startMs
    })
    // The best of them: others share this machine.
    assert.ok(Math.min(...times) < 5, `${Math.min(...times)} ms`)
  })

  it('imports nothing that takes time to load', () => {
    for (const file of ['src/hooks/init.ts', 'src/lib/migration/journal-tail.ts']) {
      const imports = [...readFileSync(join(root, file), 'utf8').matchAll(/^import (?!type)[^']*'([^']+)'/gm)].map(
        ([, from]) => from!,
      )
      assert.ok(imports.length > 0)
      assert.ok(
        imports.every((from) => from.startsWith('node:') || from.endsWith('/journal-tail.js')),
        imports.join(' '),
      )
    }
  })

  it('is registered', () => {
    const {oclif} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {oclif: {hooks: {init: string}}}
    assert.equal(oclif.hooks.init, './dist/hooks/init.js')
  })
})
