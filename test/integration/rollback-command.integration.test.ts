import assert from 'node:assert/strict'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import MigrateRollback from '../../src/commands/table/migrate-rollback.js'
import {scaledClock, sleep} from '../../src/lib/clock.js'
import {Journal} from '../../src/lib/migration/journal.js'
import {PegasusClient} from '../../src/lib/pegasus/client.js'
import type {RollbackResult} from '../../src/lib/migration/rollback/index.js'
import {type Sandbox, startSandbox} from '../sandbox/index.js'
import {runCommand} from '../support/run-command.js'

const SPEED = 20
const DENY_ENV = 'replica.deny_client_request'

describe('table:migrate-rollback on real sockets', () => {
  const clock = scaledClock(SPEED)
  let sandbox: Sandbox
  let client: PegasusClient
  let dataDir: string

  before(async () => {
    sandbox = await startSandbox({clock, listen: 'tcp', profile: '2.5'})
    await sandbox.source.createTable('t', {partitionCount: 4, replicaCount: 3})
    client = new PegasusClient({clock, random: Math.random, transport: sandbox.transport})
    dataDir = await mkdtemp(join(tmpdir(), 'table-migrator-rollback-'))
  })

  after(async () => {
    await client.close()
    await sandbox.stop()
    await rm(dataDir, {recursive: true})
  })

  async function run(argv: string[], where = ['--source-meta', sandbox.source.metas.join(',')]) {
    class Command extends MigrateRollback {
      static override id = 'table:migrate-rollback'
      protected override world() {
        return {...super.world(), clock, journalDirectory: join(dataDir, 'journals')}
      }
    }

    const ran = await runCommand(Command, ['-t', 't', ...where, ...argv])
    return {...ran, error: ran.error?.message ?? ''}
  }

  const setDeny = () => client.cluster(sandbox.source.metas).setEnvs('t', {[DENY_ENV]: 'reconfig*write'})
  /** Long enough that every server has heard of it. */
  const leaveDenied = async () => {
    await setDeny()
    await sleep(clock, 31_000)
  }

  const deny = () => sandbox.source.table('t').info.envs.get(DENY_ENV)

  it('refuses to begin where nobody can be asked', async () => {
    await setDeny()
    const {code, error} = await run(['--adopt'])
    assert.equal(code, 3)
    assert.match(error, /no terminal to ask on/)
    const dropping = await run(['--adopt', '--yes', '--drop-target', '--confirm', 'u'])
    assert.equal(dropping.code, 3)
    assert.match(dropping.error, /no terminal to ask on/)
    assert.equal(deny(), 'reconfig*write')
  })

  it('says in a dry run what it would do', async () => {
    await setDeny()
    const {code, stdout} = await run(['--adopt', '--dry-run'])
    assert.equal(code, 0)
    assert.match(stdout, /nothing was changed/)
    assert.match(stdout, /1\.\s+delete replica\.deny_client_request from the source's t/)
    assert.equal(deny(), 'reconfig*write')
  })

  it('is refused with exit code 3 and the way out when the deny is nobody’s here', async () => {
    await setDeny()
    const {code, stderr} = await run(['--yes'])
    assert.equal(code, 3)
    assert.match(stderr, /add --adopt/)
  })

  it('lifts a stuck deny, with a line for each step', async function () {
    this.timeout(30_000)
    await leaveDenied()
    const {code, stderr, stdout} = await run(['--adopt', '--yes'])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /table=t event=steps steps=allow-writes/)
    assert.match(stdout, /step=allow-writes table=t event=finished/)
    assert.match(stdout, /The migration of t is taken back/)
    assert.equal(deny(), undefined)
  })

  it('prints one JSON document, and nothing else, with --json', async function () {
    this.timeout(30_000)
    await leaveDenied()
    const {code, stdout} = await run(['--adopt', '--yes', '--json'])
    assert.equal(code, 0)
    const result = JSON.parse(stdout) as RollbackResult
    assert.equal(result.schema, 1)
    assert.equal(result.outcome, 'rolled-back')
    assert.ok(result.writableAfterMs! <= 35_000, String(result.writableAfterMs))
  })

  it('needs to be told of no address where this machine began: its warnings name the table only', async () => {
    const {metas, name} = sandbox.source
    const journal = await Journal.open(join(dataDir, 'journals'), 't', 'onebox2', clock, 'r')
    const where = {sourceCluster: name, sourceMetas: metas, table: 't', targetCluster: 'onebox2'}
    await journal.write({denyMode: 'timeout', kind: 'begin', ...where, version: 1})
    await journal.close()
    const {code, stderr, stdout} = await run(['--yes'], [])
    assert.equal(code, 0, stderr)
    assert.match(
      stderr,
      /^--source-meta 127\.0\.0\.1:\d+,127\.0\.0\.1:\d+: onebox, as this machine's journal of t says/,
    )
    assert.match(stdout, /The migration of t is taken back: onebox serves it/)
    const json = await run(['--yes', '--json'], [])
    assert.equal(json.stderr, '')
  })
})
