import assert from 'node:assert/strict'
import {access, mkdir, mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import Release from '../../../src/commands/table/migrate-release.js'
import {machineProcesses} from '../../../src/lib/processes.js'
import {readSchema, violations} from '../../support/json-schema.js'
import {runCommand} from '../../support/run-command.js'

describe('table:migrate-release', () => {
  let directory: string
  let note: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'release-'))
    await mkdir(join(directory, 'table-migrator'))
    note = join(directory, 'table-migrator', 'users@onebox2.hold')
    const held = {
      ...(await machineProcesses.own()),
      sinceMs: 1_700_000_000_000,
      table: 'users',
      targetCluster: 'onebox2',
    }
    await writeFile(note, JSON.stringify(held))
  })

  afterEach(() => rm(directory, {recursive: true}))

  const run = (...argv: string[]) => runCommand(Release, argv, {PEGASUS_DATA_DIR: directory})

  it('takes the note away that holds the migration', async () => {
    const {code, stdout} = await run('-t', 'users')
    assert.equal(code ?? 0, 0)
    assert.match(stdout, /^Released: users to onebox2, held since 22:13:20 UTC; it cuts over now\.\n$/)
    await assert.rejects(access(note))
  })

  it('prints one document with --json', async () => {
    const {stdout} = await run('-t', 'users', '--json')
    assert.deepEqual(violations(readSchema('table-migrate-release'), JSON.parse(stdout)), [])
    assert.deepEqual(JSON.parse(stdout), {
      released: [{heldSinceMs: 1_700_000_000_000, table: 'users', targetCluster: 'onebox2'}],
      schema: 1,
    })
  })

  for (const extra of [[], ['--json']]) {
    it(`exits 3 when nothing is held${extra.length > 0 ? ', in JSON too' : ''}`, async () => {
      const {code, error} = await run('-t', 'others', ...extra)
      assert.equal(code, 3)
      assert.match(error?.message ?? 'no migration of others is held', /no migration of others is held/)
      await access(note)
    })
  }

  it('leaves a damaged note alone', async () => {
    await writeFile(note, '{"pid":')
    assert.equal((await run('-t', 'users')).code, 3)
  })

  it('wants to know the table', async () => {
    assert.equal((await run()).code, 2)
  })
})
