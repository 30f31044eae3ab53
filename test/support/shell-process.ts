import {type ChildProcess, spawn} from 'node:child_process'
import {existsSync} from 'node:fs'
import {fileURLToPath} from 'node:url'
import {shellQuote} from '../../src/lib/shell-quote.js'
import type {Plot} from './rehearsal.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const SCRIPT = '/usr/bin/script'
const WAIT_LIMIT_MS = 15_000

/** util-linux's `script` gives a process a terminal of its own. */
export const hasTerminals = existsSync(SCRIPT)

/** A `pegasus table:migrate` of its own, with a rehearsed migration behind it. */
export class ShellProcess {
  stderr = ''
  stdout = ''
  readonly ended: Promise<{code: number | null; signal: string | null}>
  private waiting: {check: () => void}[] = []

  private constructor(readonly child: ChildProcess) {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
      for (const {check} of this.waiting) check()
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
      for (const {check} of this.waiting) check()
    })
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve({code, signal}))
    })
  }

  /** With pipes instead of a terminal. */
  static piped(plot: Plot, speed: number, argv: string[]): ShellProcess {
    const [command, args] = commandOf(argv)
    return new ShellProcess(
      spawn(command, args, {cwd: root, env: environment(plot, speed), stdio: ['ignore', 'pipe', 'pipe']}),
    )
  }

  /** On a terminal of 80 by 24, or another size; what it shows is in `stdout`, what is typed goes to `type`. */
  static onTerminal(
    plot: Plot,
    speed: number,
    argv: string[],
    {columns = 80, env = {}, rows = 24}: {columns?: number; env?: Record<string, string>; rows?: number} = {},
  ): ShellProcess {
    const [command, args] = commandOf(argv)
    const line = `stty cols ${columns} rows ${rows}; ${[command, ...args].map((word) => shellQuote(word)).join(' ')}`
    const child = spawn(SCRIPT, ['--quiet', '--return', '--command', line, '/dev/null'], {
      cwd: root,
      env: {...environment(plot, speed), TERM: 'xterm-256color', ...env},
      stdio: 'pipe',
    })
    return new ShellProcess(child)
  }

  type(text: string): void {
    this.child.stdin!.write(text)
  }

  /** Resolves once `pattern` is in what was printed from `from` on. @returns the length of the output then */
  async until(pattern: RegExp, from = 0): Promise<number> {
    const isThere = () => pattern.test(this.stdout.slice(from)) || pattern.test(this.stderr)
    if (isThere()) return this.stdout.length
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${why} before ${pattern}:\n${this.stdout}\n${this.stderr}`))
      const limit = setTimeout(() => fail('nothing more came'), WAIT_LIMIT_MS)
      const entry = {
        check() {
          if (!isThere()) return
          clearTimeout(limit)
          resolve()
        },
      }
      this.waiting.push(entry)
      void this.ended.then(() => {
        clearTimeout(limit)
        if (isThere()) resolve()
        else fail('it ended')
      })
    })
    return this.stdout.length
  }

  /** Ends it, if a failed test left it behind. */
  async destroy(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL')
    await this.ended
  }
}

function commandOf(argv: string[]): [string, string[]] {
  return [process.execPath, ['--import', 'tsx', 'test/support/rehearsal-shell.ts', ...argv]]
}

function environment(plot: Plot, speed: number): NodeJS.ProcessEnv {
  const env = {...process.env}
  // What a terminal is like must come from the terminal alone.
  for (const name of ['CI', 'COLUMNS', 'FORCE_COLOR', 'LINES']) delete env[name]
  return {...env, NO_COLOR: '1', REHEARSAL: plot, REHEARSAL_SPEED: String(speed)}
}
