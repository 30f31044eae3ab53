import assert from 'node:assert/strict'
import {type ChildProcess, spawn} from 'node:child_process'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'

import {within} from '../support/within.js'
import {type Bed} from './bed.js'
import {until} from './own-table.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** A migration between real servers with the stock configuration takes ten minutes. */
const LIMIT_MS = 1_500_000
/** Between fast simulated ones one minute. */
const SANDBOX_LIMIT_MS = 200_000

/** One `pegasus` command of the built plugin: a process of its own, without a terminal. */
export class Program {
  stderr = ''
  stdout = ''
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>

  private constructor(
    private readonly bed: Bed,
    private readonly child: ChildProcess,
  ) {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve(code ?? signal!))
    })
  }

  static start(bed: Bed, home: string, args: string[]): Program {
    const child = spawn(process.execPath, ['bin/run.js', ...args], {
      cwd: root,
      env: {...process.env, PEGASUS_META_SERVERS: bed.source.metas.join(','), XDG_DATA_HOME: home},
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return new Program(bed, child)
  }

  get output(): string {
    return this.stdout + this.stderr
  }

  private get limitMs(): number {
    return this.bed.sandbox ? SANDBOX_LIMIT_MS : LIMIT_MS
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Waits until it has printed that, or `done` holds; it must not end before. */
  async until(what: RegExp | (() => Promise<boolean>)): Promise<void> {
    await until(
      this.bed,
      String(what),
      async () => {
        const done = what instanceof RegExp ? what.test(this.output) : await what()
        assert.ok(done || (this.child.exitCode === null && this.child.signalCode === null), this.output)
        return done
      },
      {evidence: () => this.output, limitMs: this.limitMs},
    )
  }

  async endsWith(expected: number | NodeJS.Signals): Promise<string> {
    const what = `the end of ${this.child.spawnargs.slice(2).join(' ')}`
    const code = await within(this.limitMs, what, this.ended, () => this.output)
    assert.equal(code, expected, this.output)
    return this.stdout
  }
}

/** An operator: a home directory, and the programs that were started with it. */
export class Operator {
  private readonly programs: Program[] = []

  private constructor(
    private readonly bed: Bed,
    private readonly home: string,
  ) {}

  static async of(bed: Bed): Promise<Operator> {
    return new Operator(bed, await mkdtemp(join(tmpdir(), 'table-migrator-operator-')))
  }

  run(...args: string[]): Program {
    const program = Program.start(this.bed, this.home, args)
    this.programs.push(program)
    return program
  }

  async leave(): Promise<void> {
    for (const program of this.programs) program.kill('SIGKILL')
    await Promise.allSettled(this.programs.map(({ended}) => ended))
    await rm(this.home, {force: true, maxRetries: 5, recursive: true})
  }
}
