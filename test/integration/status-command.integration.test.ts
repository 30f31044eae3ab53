import assert from 'node:assert/strict'
import {spawn} from 'node:child_process'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'

import MigrateStatus from '../../src/commands/table/migrate-status.js'
import {scaledClock, systemClock} from '../../src/lib/clock.js'
import {acquireLock} from '../../src/lib/migration/lock.js'
import {readGuard, readLockFacts} from '../../src/lib/migration/status/read-guards.js'
import {GuardChannel} from '../../src/lib/migration/guard/channel.js'
import {type Sandbox, startSandbox} from '../sandbox/index.js'
import {TestClient} from '../sandbox/test-client.js'
import {runCommand} from '../support/run-command.js'
import {journal} from '../unit/status/scenarios.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

describe('table:migrate-status', () => {
  let client: TestClient
  let directory: string
  let metas: string
  let sandbox: Sandbox

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'status-'))
    sandbox = await startSandbox({clock: systemClock, listen: 'tcp', profile: '2.5'})
    client = new TestClient(sandbox, systemClock)
    metas = sandbox.source.metas.join(',')
    for (const name of ['denied', 'idle', 'shipped']) {
      await sandbox.source.createTable(name, {partitionCount: 4, replicaCount: 3})
    }

    await client.setEnv(sandbox.source, 'denied', 'replica.deny_client_request', 'timeout*write')
    await client.add('shipped')
  })

  after(async () => {
    client.close()
    await sandbox.stop()
    await rm(directory, {force: true, recursive: true})
  })

  /** Runs the command in this process. */
  async function run(argv: string[]) {
    class Command extends MigrateStatus {
      static override id = 'table:migrate-status'

      protected override world() {
        // Five times as fast: nobody waits long for metas that are not there.
        return {...super.world(), clock: scaledClock(5), journalDirectory: directory}
      }
    }

    const ran = await runCommand(Command, argv)
    return {...ran, code: ran.code ?? 0}
  }

  it('tells by its exit code whether something goes on, and whether a person must look', async () => {
    const codes: Record<string, unknown> = {}
    for (const table of ['denied', 'idle', 'shipped']) {
      const {code, stdout} = await run(['-t', table, '--source-meta', metas])
      codes[table] = code
      assert.match(stdout, new RegExp(`^${table}: `))
    }

    assert.deepEqual(codes, {denied: 5, idle: 0, shipped: 4})
    assert.equal((await run(['-t', 'idle', '--source-meta', '127.0.0.1:9'])).code, 1)
    assert.equal((await run(['--source-meta', metas])).code, 5)
  })

  it('prints one document with --json', async () => {
    const {code, stderr, stdout} = await run(['--source-meta', metas, '--json'])
    const report = JSON.parse(stdout)
    assert.deepEqual(
      report.tables.map(({state, table}: {state: string; table: string}) => [table, state]),
      [
        ['denied', 'foreign-deny'],
        ['shipped', 'foreign-duplication'],
      ],
    )
    assert.deepEqual([code, report.schema, stderr], [5, 1, ''])
  })

  it('refuses flags that make no sense', async () => {
    for (const argv of [
      ['--watch', '--json'],
      ['-m', 'a:1'],
      ['-n', 'nowhere'],
      ['-t', 'a/b'],
      ['--proxy', 'nowhere'],
    ]) {
      const {code, error} = await run([...argv, '--source-meta', metas])
      assert.equal(code, 2, `${argv.join(' ')}: ${error?.message}`)
    }
  })

  it('looks on with --watch until Ctrl-C, and exits 0', async function () {
    this.timeout(30_000)
    const argv = ['--import', 'tsx', 'test/support/status-shell.ts', '-t', 'shipped', '--source-meta', metas, '--watch']
    const child = spawn(process.execPath, argv, {cwd: root, env: {...process.env, JOURNALS: directory}})
    let stdout = ''
    let stderr = ''
    const looks = () => stdout.match(/^read from onebox/gm)?.length ?? 0
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk
    })
    await new Promise<void>((resolve, reject) => {
      child.once('close', () => reject(new Error(stderr)))
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk
        if (looks() === 2) resolve()
      })
    })
    const ended = new Promise((resolve) => {
      child.removeAllListeners('close').once('close', (code, signal) => resolve([code, signal]))
    })
    child.kill('SIGINT')
    assert.deepEqual(await ended, [0, null], stderr)
    assert.ok(!stdout.includes('\u001B'), 'no escape sequences where there is no terminal')
  })

  it('sees a lock that is held on this machine, and that it is given back', async () => {
    const place = {clock: systemClock, directory, sourceCluster: 'onebox', table: 'idle'}
    const {signal} = new AbortController()
    assert.deepEqual(await readLockFacts(place, signal), {held: false, scope: 'machine'})
    const lock = await acquireLock({...place, command: 'table:migrate -t idle', emit() {}}, signal)
    const facts = await readLockFacts(place, signal)
    assert.equal(facts.held, true)
    assert.match(facts.holder!, new RegExp(`^process ${process.pid} on .* \\(table:migrate -t idle\\)$`))
    await lock.release()
    assert.equal((await readLockFacts(place, signal)).held, false)
  })

  it('believes what a guard of the last run says, and looks whether it lives', async () => {
    const channel = new GuardChannel(directory, 'idle', 'onebox2')
    const world = {clock: systemClock, journalDirectory: directory, random: Math.random, transport: sandbox.transport}
    const read = (startedAtMs: number) => readGuard(world, 'idle', journal({startedAtMs}))
    assert.equal(await read(0), undefined)
    await channel.tell({pid: process.pid, sinceMs: 1000, state: 'watching', text: 'the driver beats'})
    assert.deepEqual(await read(0), {
      alive: true,
      pid: process.pid,
      sinceMs: 1000,
      state: 'watching',
      text: 'the driver beats',
    })
    assert.equal(await read(2000), undefined, 'a guard of an earlier run')
    const gone = spawn(process.execPath, ['-e', ''])
    await new Promise((resolve) => {
      gone.once('close', resolve)
    })
    await channel.tell({pid: gone.pid!, sinceMs: 1000, state: 'watching', text: ''})
    assert.equal((await read(0))?.alive, false)
  })
})
