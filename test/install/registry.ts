import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {writeFile} from 'node:fs/promises'
import {createServer} from 'node:net'
import {join} from 'node:path'
import {sleep, systemClock} from '../../src/lib/clock.js'
import {root, run} from './host.js'

const START_LIMIT_MS = 60_000
const PING_LIMIT_MS = 5000
const STOP_LIMIT_MS = 10_000

/** A registry on loopback that has the packed plugin, and passes everything else on to the ordinary one. */
export class Registry {
  private constructor(
    readonly address: string,
    private readonly child: ChildProcess,
  ) {}

  /** @param directory for its storage and its config */
  static async start(directory: string): Promise<Registry> {
    const upstream = (await run('npm', ['config', 'get', 'registry'], {cwd: root})).stdout.trim()
    const port = await freePort()
    const config = {
      auth: {htpasswd: {file: join(directory, 'htpasswd')}},
      log: {level: 'error', type: 'stdout'},
      packages: {
        '@org/*': {access: '$all', publish: '$all'},
        '**': {access: '$all', proxy: 'upstream'},
      },
      storage: join(directory, 'storage'),
      uplinks: {upstream: {cache: true, maxage: '60m', timeout: '60s', url: upstream}},
      web: {enable: false},
    }
    const path = join(directory, 'verdaccio.yaml')
    // JSON is YAML too.
    await writeFile(path, JSON.stringify(config))
    const bin = join(root, 'node_modules', 'verdaccio', 'bin', 'verdaccio')
    const child = spawn(process.execPath, [bin, '--config', path, '--listen', `127.0.0.1:${port}`], {
      cwd: directory,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const registry = new Registry(`http://127.0.0.1:${port}/`, child)
    try {
      await registry.untilAnswering()
    } catch (error) {
      await registry.stop()
      throw error
    }

    return registry
  }

  async publish(tarball: string, directory: string): Promise<void> {
    const token = `--${this.address.slice('http:'.length)}:_authToken=anybody`
    const {exitCode, stderr} = await run('npm', ['publish', tarball, '--registry', this.address, token], {
      cwd: directory,
    })
    if (exitCode !== 0) throw new Error(`npm publish failed: ${stderr}`)
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exited = once(this.child, 'exit')
    this.child.kill()
    const killing = systemClock.setTimer(STOP_LIMIT_MS, () => this.child.kill('SIGKILL'))
    await exited
    killing.cancel()
  }

  private async untilAnswering(): Promise<void> {
    const startMs = systemClock.nowMs()
    for (;;) {
      try {
        await fetch(new URL('-/ping', this.address), {signal: AbortSignal.timeout(PING_LIMIT_MS)})
        return
      } catch (error) {
        if (this.child.exitCode !== null) throw new Error(`verdaccio ended with ${this.child.exitCode}`, {cause: error})
        if (systemClock.nowMs() - startMs > START_LIMIT_MS) throw error
        await sleep(systemClock, 100)
      }
    }
  }
}

/** Below the range from which outgoing connections are taken. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const server = createServer()
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(port, '127.0.0.1', resolve)
      })
      return port
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    } finally {
      server.close()
    }
  }
}
