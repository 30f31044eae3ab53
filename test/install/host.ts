import {type ChildProcess, spawn} from 'node:child_process'
import {cp, mkdir, readFile, symlink, writeFile} from 'node:fs/promises'
import {delimiter, dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {systemClock} from '../../src/lib/clock.js'

export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Ran {
  exitCode: number | null
  stderr: string
  stdout: string
}

export interface RunOptions {
  cwd: string
  env?: NodeJS.ProcessEnv
  limitMs?: number
  /** Told what it has printed so far, each time that there is more. */
  onOutput?(stdout: string, child: ChildProcess): void
}

/** For what a command leaves running with its output in hand. */
const CLOSE_LIMIT_MS = 10_000

/** Runs a command to its end; `limitMs` ends it, and whatever it has started. */
export function run(
  command: string,
  args: string[],
  {cwd, env, limitMs = 180_000, onOutput}: RunOptions,
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      detached: process.platform !== 'win32',
      env: env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    const endAll = (why: string) => {
      stderr += `\n${why}`
      try {
        process.kill(process.platform === 'win32' ? child.pid! : -child.pid!, 'SIGKILL')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }

      child.stdout.destroy()
      child.stderr.destroy()
    }

    const limit = systemClock.setTimer(limitMs, () => endAll(`ended after ${limitMs / 1000} s`))
    child.once('exit', () => {
      limit.cancel()
      const closing = systemClock.setTimer(CLOSE_LIMIT_MS, () => endAll('it left a process behind'))
      child.once('close', () => closing.cancel())
    })
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      onOutput?.(stdout, child)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.once('error', (error) => {
      limit.cancel()
      reject(error)
    })
    child.once('close', (exitCode) => resolve({exitCode, stderr, stdout}))
  })
}

/** Once more where it took too long: a registry that stalls for minutes is not what is tested. */
export async function runTwice(command: string, args: string[], options: RunOptions): Promise<Ran> {
  const first = await run(command, args, options)
  return first.exitCode === null ? run(command, args, options) : first
}

export interface HostOptions {
  directory: string
  /** Where its @oclif/core and plugins are; default: those of this repository. */
  modules?: string
  /** Node's binary; default: the one that runs the tests. */
  node?: string
  npmCache: string
  registry: string
  topicSeparator: ' ' | ':'
}

/** A `pegasus` shell in a directory of its own, that keeps what it installs there too. */
export class Host {
  private constructor(private readonly options: HostOptions) {}

  /** Copies test/host and lets it write its commands with `topicSeparator`. */
  static async create(options: HostOptions): Promise<Host> {
    const {directory, modules = join(root, 'node_modules'), topicSeparator} = options
    await cp(join(root, 'test', 'host'), directory, {recursive: true})
    const path = join(directory, 'package.json')
    const manifest = JSON.parse(await readFile(path, 'utf8')) as {oclif: {topicSeparator: string}}
    manifest.oclif.topicSeparator = topicSeparator
    await writeFile(path, JSON.stringify(manifest))
    await symlink(modules, join(directory, 'node_modules'))
    for (const kind of ['cache', 'config', 'data']) await mkdir(join(directory, kind))
    return new Host(options)
  }

  get dataDirectory(): string {
    return join(this.options.directory, 'data')
  }

  /** `plugins` takes everything from the registry. */
  run(args: string[], onOutput?: RunOptions['onOutput']): Promise<Ran> {
    const {directory, node = process.execPath, npmCache, registry} = this.options
    const env: NodeJS.ProcessEnv = {
      HOME: directory,
      NO_COLOR: '1',
      // npm, and whatever it starts, runs on the same Node.
      PATH: [dirname(node), process.env.PATH].join(delimiter),
      PEGASUS_CACHE_DIR: join(directory, 'cache'),
      PEGASUS_CONFIG_DIR: join(directory, 'config'),
      PEGASUS_DATA_DIR: this.dataDirectory,
      PEGASUS_NPM_REGISTRY: registry,
      npm_config_cache: npmCache,
    }
    const start = args[0]?.startsWith('plugins') ? runTwice : run
    return start(node, [join(directory, 'bin', 'run.js'), ...args], {
      cwd: directory,
      env,
      ...(onOutput ? {onOutput} : {}),
    })
  }
}
