import {spawn} from 'node:child_process'
import {cp, mkdir, readFile, symlink, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Ran {
  exitCode: number | null
  stderr: string
  stdout: string
}

/** Runs a command to its end; `limitMs` ends it as a timeout would. */
export function run(
  command: string,
  args: string[],
  {cwd, env, limitMs = 180_000}: {cwd: string; env?: NodeJS.ProcessEnv; limitMs?: number},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: limitMs,
    })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.once('error', reject)
    child.once('close', (exitCode) => resolve({exitCode, stderr, stdout}))
  })
}

/** A `pegasus` shell in a directory of its own, that keeps what it installs there too. */
export class Host {
  private constructor(
    private readonly directory: string,
    private readonly registry: string,
  ) {}

  /** Copies test/host and lets it write its commands with `topicSeparator`. */
  static async create(directory: string, topicSeparator: ' ' | ':', registry: string): Promise<Host> {
    await cp(join(root, 'test', 'host'), directory, {recursive: true})
    const path = join(directory, 'package.json')
    const manifest = JSON.parse(await readFile(path, 'utf8')) as {oclif: {topicSeparator: string}}
    manifest.oclif.topicSeparator = topicSeparator
    await writeFile(path, JSON.stringify(manifest))
    await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
    for (const kind of ['cache', 'config', 'data']) await mkdir(join(directory, kind))
    return new Host(directory, registry)
  }

  get dataDirectory(): string {
    return join(this.directory, 'data')
  }

  run(...args: string[]): Promise<Ran> {
    const env: NodeJS.ProcessEnv = {
      HOME: this.directory,
      NO_COLOR: '1',
      PATH: process.env.PATH,
      PEGASUS_CACHE_DIR: join(this.directory, 'cache'),
      PEGASUS_CONFIG_DIR: join(this.directory, 'config'),
      PEGASUS_DATA_DIR: this.dataDirectory,
      PEGASUS_NPM_REGISTRY: this.registry,
      npm_config_cache: join(this.directory, 'cache', 'npm'),
    }
    return run(process.execPath, [join(this.directory, 'bin', 'run.js'), ...args], {cwd: this.directory, env})
  }
}
