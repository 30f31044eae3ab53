import assert from 'node:assert/strict'
import {execFileSync, spawnSync} from 'node:child_process'
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {journalFileName} from '../../src/lib/migration/journal.js'

const page = readFileSync(new URL('../../docs/autocomplete.md', import.meta.url), 'utf8')
const script = /```bash\n([\s\S]+?)```/.exec(page)![1]!
const has = (tool: string) => spawnSync(tool, ['--version']).status === 0

describe('the completion of docs/autocomplete.md', () => {
  let home: string

  before(function () {
    if (!has('bash')) this.skip()
    home = mkdtempSync(join(tmpdir(), 'completion-'))
    const journals = join(home, '.local/share/pegasus/table-migrator')
    mkdirSync(journals, {recursive: true})
    for (const [table, cluster] of [
      ['users', 'b'],
      ['users', 'c'],
      ['user.events', 'b'],
      ['other', 'b'],
    ]) {
      writeFileSync(join(journals, journalFileName(table!, cluster!)), '')
    }

    writeFileSync(join(journals, 'users@a.lock'), '')
    mkdirSync(join(home, '.config/pegasus'), {recursive: true})
    const clusters = {beijing: {metas: ['a:1']}, shanghai: {metas: ['b:1']}}
    writeFileSync(join(home, '.config/pegasus/table-migrator.json'), JSON.stringify({clusters}))
  })

  after(() => home && rmSync(home, {recursive: true}))

  /** What is offered after these words. */
  function offered(...words: string[]): string[] {
    const array = words.map((word) => `'${word}'`).join(' ')
    const program = [
      "_pegasus_autocomplete() { COMPREPLY=('--flag-of-the-plugin'); }",
      script,
      `COMP_WORDS=(pegasus ${array})`,
      `COMP_CWORD=${words.length}`,
      '_pegasus_names',
      String.raw`printf '%s\n' "${'$'}{COMPREPLY[@]}"`,
    ].join('\n')
    const text = execFileSync('bash', ['--norc', '-c', program], {
      encoding: 'utf8',
      env: {HOME: home, PATH: process.env.PATH},
    })
    return text.split('\n').filter((line) => line !== '')
  }

  it('offers tables of this machine, each once', () => {
    assert.deepEqual(offered('table:migrate', '-t', 'us'), ['user.events', 'users'])
    assert.deepEqual(offered('table:migrate-status', '--table', 'o'), ['other'])
  })

  it('offers clusters of the clusters file', function () {
    if (!has('jq')) this.skip()
    assert.deepEqual(offered('table:migrate', '--from', ''), ['beijing', 'shanghai'])
    assert.deepEqual(offered('table:migrate', '--to', 's'), ['shanghai'])
  })

  it('leaves everything else to the plugin', () => {
    assert.deepEqual(offered('table:migrate', '--'), ['--flag-of-the-plugin'])
  })
})
