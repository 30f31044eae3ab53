import {type ChildProcess, spawn} from 'node:child_process'

import type {Clock, Timer} from '../../clock.js'
import {messageOf} from '../../errors.js'
import type {HookEnd, HookFacts} from './moments.js'

/** Between being asked to end and being ended. */
const KILL_AFTER_MS = 2000
/** What a hook left running may keep its output open for. */
const OUTPUT_GRACE_MS = 200
const MOST_LINES = 100
const MOST_BYTES = 64 * 1024
/** Holds a password. */
const SECRET = 'PEGASUS_ZK_AUTH'

export interface RunOptions {
  clock: Clock
  /** Where it runs. */
  directory: string
  limitMs: number
  signal: AbortSignal
}

/** Runs an executable, not through a shell, with the facts on its standard input and in its environment. Never throws. */
export function runExecutable(path: string, facts: HookFacts, options: RunOptions): Promise<HookEnd> {
  return new ExecutableRun(path, facts, options).run()
}

class ExecutableRun {
  private bytes = 0
  private child!: ChildProcess
  private readonly chunks: Buffer[] = []
  /** Why it was ended early. */
  private ended: string | undefined
  private readonly startMs: number
  private readonly timers: Timer[] = []

  constructor(
    private readonly path: string,
    private readonly facts: HookFacts,
    private readonly options: RunOptions,
  ) {
    this.startMs = options.clock.nowMs()
  }

  async run(): Promise<HookEnd> {
    const {clock, limitMs, signal} = this.options
    const onAbort = () => this.end(`ended, because the run is: ${messageOf(signal.reason)}`)
    if (signal.aborted) return this.result(false, messageOf(signal.reason))
    try {
      this.spawn()
      signal.addEventListener('abort', onAbort, {once: true})
      this.timers.push(clock.setTimer(limitMs, () => this.end(`not done after ${limitMs / 1000} s, ended`)))
      const how = await this.exit()
      await this.lastOutput()
      return this.result(this.ended === undefined && how === 'exit code 0', this.ended ?? how)
    } catch (error) {
      return this.result(false, messageOf(error))
    } finally {
      signal.removeEventListener('abort', onAbort)
      for (const timer of this.timers) timer.cancel()
    }
  }

  private spawn(): void {
    // A group of its own: its children can be ended with it, and the terminal's Ctrl-C is the run's to hear.
    this.child = spawn(this.path, [], {
      cwd: this.options.directory,
      detached: true,
      env: environmentOf(this.facts),
      shell: false,
      stdio: 'pipe',
    })
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on('data', (chunk: Buffer) => this.keep(chunk))
    }

    // Whoever does not read what it is told closes the pipe: that is its right.
    this.child.stdin!.on('error', () => {})
    this.child.stdin!.end(`${JSON.stringify(this.facts)}\n`)
  }

  private exit(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `killed by ${signal}`))
    })
  }

  private async lastOutput(): Promise<void> {
    const {clock} = this.options
    await new Promise<void>((resolve) => {
      this.child.once('close', () => resolve())
      this.timers.push(clock.setTimer(OUTPUT_GRACE_MS, resolve))
    })
    for (const stream of [this.child.stdout!, this.child.stderr!]) stream.destroy()
  }

  private end(why: string): void {
    if (this.ended !== undefined) return
    this.ended = why
    this.kill('SIGTERM')
    this.timers.push(this.options.clock.setTimer(KILL_AFTER_MS, () => this.kill('SIGKILL')))
  }

  private kill(signal: NodeJS.Signals): void {
    const {pid} = this.child
    if (pid === undefined) return
    try {
      process.kill(-pid, signal)
    } catch {
      // It has ended by itself meanwhile.
    }
  }

  /** The rest is read all the same, so that the hook does not stand still on a full pipe. */
  private keep(chunk: Buffer): void {
    if (this.bytes < MOST_BYTES) this.chunks.push(chunk.subarray(0, MOST_BYTES - this.bytes))
    this.bytes += chunk.length
  }

  private result(ok: boolean, text: string): HookEnd {
    const all = Buffer.concat(this.chunks).toString('utf8').split('\n')
    if (all.at(-1) === '') all.pop()
    const lines = all.slice(0, MOST_LINES)
    if (all.length > lines.length || this.bytes > MOST_BYTES) lines.push('(and more, which is not shown)')
    return {lines, ok, text, tookMs: Math.round(this.options.clock.nowMs() - this.startMs)}
  }
}

/** This process's own, less what is secret, and the facts that a line of shell wants to have at hand. */
function environmentOf(facts: HookFacts): NodeJS.ProcessEnv {
  const {dupid, error, moment, outcome, pendingMutations, source, table, target, writeDeny} = facts
  const env: NodeJS.ProcessEnv = {...process.env}
  delete env[SECRET]
  const own: Record<string, number | string | undefined> = {
    PEGASUS_HOOK_DENIED_SINCE_MS: writeDeny.firstRefusedAtMs ?? writeDeny.setAtMs,
    PEGASUS_HOOK_DUPID: dupid,
    PEGASUS_HOOK_ERROR: error?.message,
    PEGASUS_HOOK_ERROR_CODE: error?.code,
    PEGASUS_HOOK_MOMENT: moment,
    PEGASUS_HOOK_OUTCOME: outcome,
    PEGASUS_HOOK_PENDING_MUTATIONS: pendingMutations,
    PEGASUS_HOOK_SOURCE_CLUSTER: source.cluster,
    PEGASUS_HOOK_SOURCE_METAS: source.metas.join(','),
    PEGASUS_HOOK_TABLE: table,
    PEGASUS_HOOK_TARGET_CLUSTER: target.cluster,
    PEGASUS_HOOK_TARGET_METAS: target.metas.join(','),
    PEGASUS_HOOK_WINDOW_MS: writeDeny.windowMs,
  }
  // An environment knows no zero bytes, and what servers say may hold some.
  for (const [name, value] of Object.entries(own)) env[name] = String(value ?? '').replaceAll('\0', '')
  return env
}
