import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {existsSync} from 'node:fs'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {connect, createServer} from 'node:net'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {findZooKeeper, setupZooKeeper} from '../../scripts/setup-zookeeper.mjs'
import {type Clock, sleep, systemClock} from '../../src/lib/clock.js'

/** A real ZooKeeper of our own on loopback. */
export interface ZooKeeper {
  /** `127.0.0.1:port` */
  address: string
  /** Freezes the process (SIGSTOP): the port accepts, nothing answers. */
  pause(): void
  /** Stops and starts it on the same port, with the same data. */
  restart(): Promise<void>
  resume(): void
  /** Ends the process and removes its data. */
  stop(): Promise<void>
}

export interface ZooKeeperOptions {
  /** A machine's clock, never a scaled one: a JVM takes its real second to start. */
  clock?: Clock
}

const START_LIMIT_MS = 60_000
const STOP_LIMIT_MS = 5000
const POLL_MS = 50
// Outgoing connections of this machine take their ports from 32768 on.
const [FIRST_PORT, LAST_PORT] = [20_000, 32_000]

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}

async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT))
    if (await isFree(port)) return port
  }

  throw new Error(`no free port between ${FIRST_PORT} and ${LAST_PORT}`)
}

/** Whether the one with this data serves there: another run of the tests may have taken the port a moment earlier. */
function isServing(port: number, directory: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('conf'))
    let answer = ''
    socket.on('data', (bytes) => {
      answer += bytes.toString()
    })
    socket.on('error', () => resolve(false))
    socket.on('close', () => resolve(answer.includes(`dataDir=${directory}/`)))
    socket.setTimeout(1000, () => socket.destroy())
  })
}

/** Lets a process die with this one, also when this one is killed. */
function guard(): string[] {
  const setpriv = '/usr/bin/setpriv'
  return existsSync(setpriv) ? [setpriv, '--pdeathsig', 'KILL'] : []
}

function configuration(directory: string, port: number): string {
  return Object.entries({
    '4lw.commands.whitelist': 'conf',
    'admin.enableServer': 'false',
    clientPort: port,
    clientPortAddress: '127.0.0.1',
    dataDir: directory,
    maxClientCnxns: 0,
    // Sessions may be as short as 1 s, so that tests of their end are short too.
    tickTime: 500,
    maxSessionTimeout: 60_000,
  })
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}

class ZooKeeperProcess implements ZooKeeper {
  readonly address: string
  private child: ChildProcess | undefined
  private output = ''
  private readonly killAtExit = () => this.child?.kill('SIGKILL')

  constructor(
    private readonly clock: Clock,
    private readonly directory: string,
    private readonly port: number,
  ) {
    this.address = `127.0.0.1:${port}`
    process.once('exit', this.killAtExit)
  }

  pause(): void {
    this.child?.kill('SIGSTOP')
  }

  async restart(): Promise<void> {
    await this.end()
    await this.start()
  }

  resume(): void {
    this.child?.kill('SIGCONT')
  }

  async start(): Promise<void> {
    const {classPath, command} = findZooKeeper()!
    const options = ['-Xmx96m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']
    // No fsync and small log files: the data lives as long as the test.
    const tuning = ['-Dzookeeper.forceSync=no', '-Dzookeeper.preAllocSize=1024']
    const main = [
      '-cp',
      classPath,
      'org.apache.zookeeper.server.quorum.QuorumPeerMain',
      join(this.directory, 'zoo.cfg'),
    ]
    const words = [...guard(), command, ...options, ...tuning, ...main]
    const child = spawn(words[0]!, words.slice(1), {stdio: ['ignore', 'pipe', 'pipe']})
    this.child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes: Buffer) => {
        this.output = (this.output + bytes.toString()).slice(-2000)
      })
    }

    let failure: Error | undefined
    child.once('error', (error) => {
      failure = error
    })
    const until = this.clock.nowMs() + START_LIMIT_MS
    while (!(await isServing(this.port, this.directory))) {
      if (failure || child.exitCode !== null || this.clock.nowMs() > until) {
        await this.end()
        throw new Error(`ZooKeeper did not start on ${this.address}: ${this.output}`, {cause: failure})
      }

      await sleep(this.clock, POLL_MS)
    }
  }

  async stop(): Promise<void> {
    await this.end()
    process.off('exit', this.killAtExit)
    await rm(this.directory, {force: true, recursive: true})
  }

  private async end(): Promise<void> {
    const {child} = this
    this.child = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    // A frozen process sees SIGTERM only once it goes on.
    child.kill('SIGCONT')
    const timer = this.clock.setTimer(STOP_LIMIT_MS, () => child.kill('SIGKILL'))
    await ended
    timer.cancel()
  }
}

/**
 * Starts ZooKeeper with a data directory of its own on a free port; installs it before when it is missing and this is root.
 * @throws Error with what to do when it cannot be installed or does not start
 */
export async function startZooKeeper({clock = systemClock}: ZooKeeperOptions = {}): Promise<ZooKeeper> {
  setupZooKeeper()
  const directory = await mkdtemp(join(tmpdir(), 'table-migrator-zookeeper-'))
  const port = await freePort()
  await writeFile(join(directory, 'zoo.cfg'), configuration(directory, port))
  const zookeeper = new ZooKeeperProcess(clock, directory, port)
  try {
    await zookeeper.start()
    return zookeeper
  } catch (error) {
    await zookeeper.stop()
    throw error
  }
}
