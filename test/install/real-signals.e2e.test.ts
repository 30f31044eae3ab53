import assert from 'node:assert/strict'
import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdtemp, readdir, readFile, rm, stat} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {sleep, systemClock} from '../../src/lib/clock.js'
import {FAST_SERVERS, METAPROXY_ROOT, migrateFlags, type Playground, startPlayground} from '../sandbox/playground.js'
import {ZooKeeperNodes} from '../sandbox/zookeeper-nodes.js'
import {within} from '../support/within.js'
import {root} from './host.js'

/*
 * The built program as a process of its own, with real signals, while writes are denied: its guard is another process, and
 * takes the deny back. Real time, so that nobody's clock differs; both stories wait at the same time.
 */

const LIMIT_MS = 150_000
const DENY_ENV = 'replica.deny_client_request'

class Driver {
  output = ''
  private constructor(
    readonly playground: Playground,
    readonly directory: string,
    readonly child: ChildProcess,
  ) {
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
      })
  }

  static async start(): Promise<Driver> {
    const directory = await mkdtemp(join(tmpdir(), 'table-migrator-signals-'))
    const playground = await startPlayground({
      clock: systemClock,
      partitions: 2,
      profile: '2.5',
      rows: 50,
      servers: FAST_SERVERS,
      table: 'users',
      writesPerSecond: 10,
    })
    const args = ['bin/run.js', 'table:migrate', ...migrateFlags(playground), '--deny-mode', 'reconfig', '--yes']
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: {...process.env, PEGASUS_ZK_AUTH: 'digest:somebody:a-secret', XDG_DATA_HOME: directory},
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return new Driver(playground, directory, child)
  }

  get deny(): string | undefined {
    return this.playground.sandbox.source.table('users').info.envs.get(DENY_ENV)
  }

  async until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
    for (const startMs = performance.now(); !(await done());) {
      assert.ok(performance.now() - startMs < LIMIT_MS, `${what}: not so after ${LIMIT_MS} ms\n${this.output}`)
      await sleep(systemClock, 100)
    }
  }

  async untilDenied(): Promise<void> {
    await this.until('writes are denied', () => {
      assert.equal(this.child.exitCode, null, this.output)
      return this.deny !== undefined && /phase=drain/.test(this.output)
    })
  }

  async clusterInNode(): Promise<string> {
    const nodes = await ZooKeeperNodes.open(this.playground.zookeeper.address)
    const {bytes} = await nodes.get(`${METAPROXY_ROOT}/users`)
    await nodes.close()
    return (JSON.parse(bytes.toString()) as {cluster_name: string}).cluster_name
  }

  /** Every file that was left, with its text. */
  async files(): Promise<{mode: number; path: string; text: string}[]> {
    const names = await readdir(this.directory, {recursive: true, withFileTypes: true})
    const paths = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
    const files = await Promise.all(
      paths.map(async (path) => {
        try {
          return {mode: (await stat(path)).mode & 0o777, path, text: await readFile(path, 'utf8')}
        } catch {
          return undefined // replaced or removed meanwhile
        }
      }),
    )
    return files.filter((file) => file !== undefined)
  }

  /** The guard has said that writes are accepted again; they are, and nothing that was acknowledged is lost. */
  async assertTakenBack(): Promise<void> {
    await this.until('the guard has lifted the deny', async () => {
      const journal = (await this.files()).find(({path}) => path.endsWith('.jsonl'))
      return journal !== undefined && /"kind":"guard","state":"lifted"/.test(journal.text)
    })
    assert.equal(this.deny, undefined)
    assert.equal(await this.clusterInNode(), this.playground.sandbox.source.name)
  }

  async assertNothingLost(): Promise<void> {
    const {load} = this.playground
    const from = load!.ledger.history.length
    await this.until('writes succeed again', () => load!.ledger.history.length > from + 10)
    await load!.stop()
    const {checked, lost, stale} = await this.playground.verify()
    assert.ok(checked > 10)
    assert.deepEqual({lost, stale}, {lost: [], stale: []})
  }

  /** Private files without the secret, and a directory that is private too. */
  async assertPrivate(): Promise<void> {
    const files = await this.files()
    const own = files.filter(({path}) => path.includes('table-migrator/'))
    assert.ok(own.some(({path}) => path.endsWith('.jsonl')))
    assert.deepEqual(
      own.filter(({mode}) => mode !== 0o600),
      [],
    )
    assert.equal((await stat(join(own[0]!.path, '..'))).mode & 0o777, 0o700)
    assert.deepEqual(
      files.filter(({text}) => text.includes('a-secret')).map(({path}) => path),
      [],
    )
    assert.doesNotMatch(this.output, /a-secret/)
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.playground.stop()
    await rm(this.directory, {force: true, maxRetries: 3, recursive: true})
  }
}

describe('the program and real signals, while writes are denied', function () {
  this.timeout(2 * LIMIT_MS)
  const running: Promise<{error?: unknown}>[] = []

  async function play(story: (driver: Driver) => Promise<void>): Promise<{error?: unknown}> {
    let driver: Driver | undefined
    try {
      driver = await Driver.start()
      await story(driver)
      return {}
    } catch (error) {
      return {error}
    } finally {
      await driver?.stop()
    }
  }

  const stories: Record<string, (driver: Driver) => Promise<void>> = {
    async 'SIGKILL: the guard takes the deny back; no file is readable by others or holds the password'(driver) {
      await driver.untilDenied()
      const inArgv = await argumentsOfGuards(driver)
      driver.child.kill('SIGKILL')
      await driver.assertTakenBack()
      await driver.assertNothingLost()
      await driver.assertPrivate()
      assert.equal(inArgv.length, 1)
      assert.doesNotMatch(inArgv[0]!, /a-secret|onebox2,|--/)
    },
    async 'SIGSTOP and SIGCONT: the guard takes the deny back, and the driver that wakes up does not commit'(driver) {
      await driver.untilDenied()
      driver.child.kill('SIGSTOP')
      await driver.assertTakenBack()
      const ended = once(driver.child, 'exit')
      driver.child.kill('SIGCONT')
      const [code] = (await within(LIMIT_MS, 'the end of the driver', ended, () => driver.output)) as [number | null]
      assert.ok(code !== 0 && code !== null, `exit code ${code}\n${driver.output}`)
      await driver.until('writes are allowed', () => driver.deny === undefined)
      assert.equal(await driver.clusterInNode(), driver.playground.sandbox.source.name)
      await driver.assertNothingLost()
    },
  }

  before(() => {
    for (const story of Object.values(stories)) running.push(play(story))
  })

  for (const [index, title] of Object.keys(stories).entries()) {
    it(title, async () => {
      const {error} = await running[index]!
      if (error !== undefined) throw error
    })
  }
})

/** Command lines of the guards of a driver: what everybody on the machine can see. */
async function argumentsOfGuards({directory}: Driver): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter((line) => line.includes('/guard/main.') && line.includes(directory))
}
