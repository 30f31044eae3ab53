import {writeSync} from 'node:fs'
import {messageOf, MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import type {
  rollback,
  RollbackHooks,
  RollbackRequest,
  RollbackResult,
  RollbackWorld,
} from '../migration/rollback/index.js'
import {outliveTerminal} from './lost-terminal.js'
import type {StopSignal} from './outcome.js'
import {confirmWord, findTerminal, PromptClosed, type Terminal} from './prompts.js'
import {chooseRenderer} from './renderer.js'
import {RollbackLines, RollbackList, type RollbackRenderer, RollbackSilent} from './rollback-renderer.js'
import {RollbackWatch} from './rollback-watch.js'
import {rollbackExitCode, rollbackPlanLines, rollbackSummaryLines} from './rollback-summary.js'
import {SignalWatch} from './signals.js'
import {formatTimeOfDay, widthOf} from './text.js'

export interface RollbackSessionOptions {
  /** The command line that was given, quoted for a shell. */
  commandLine: string
  /** The table's name, typed beforehand. */
  confirmed: string | undefined
  dryRun: boolean
  json: boolean
  quiet?: boolean
  request: RollbackRequest
  world: RollbackWorld
  yes: boolean
}

type Plan = Parameters<RollbackHooks['confirm']>[0]

/** One run of `table:migrate-rollback` in front of a person or a log: shows it, asks, and hears signals. */
export class RollbackSession {
  private readonly renderer: RollbackRenderer
  private readonly signals: SignalWatch
  private readonly terminal: Terminal | undefined
  private readonly watch = new RollbackWatch()

  /** @throws MigratorError `ui.no_terminal` when somebody would have to be asked and nobody can be */
  constructor(
    private readonly work: typeof rollback,
    private readonly options: RollbackSessionOptions,
  ) {
    this.terminal = options.json ? undefined : findTerminal(process)
    if (!this.terminal) this.requireNoQuestions()
    this.renderer = this.newRenderer()
    this.signals = new SignalWatch(process, {
      // eslint-disable-next-line n/no-process-exit, unicorn/no-process-exit -- the second signal asks for just that
      exit: (code) => process.exit(code),
      onCrash: (error) => this.renderer.notice(`an error that nobody caught, stopping: ${messageOf(error)}`),
      onFirst: (signal) =>
        this.renderer.notice(
          `${signal}: stopping; what this rollback denied is allowed again first. A second one leaves at once.`,
        ),
      onSecond: (signal) => this.leave(signal),
      onSuspend: () =>
        this.renderer.notice('Ctrl-Z is not obeyed: a stopped process allows no writes. Ctrl-C stops the run.'),
    })
  }

  async run(): Promise<{exitCode: ExitCode; result: RollbackResult}> {
    const {commandLine, dryRun, json, quiet, request, world} = this.options
    outliveTerminal([process.stdout, process.stderr])
    const hooks: RollbackHooks = {
      confirm: (plan) => this.confirm(plan),
      emit: (event) => {
        this.watch.onEvent(event)
        this.renderer.onEvent(event)
      },
    }
    try {
      const {signal} = this.signals.controller
      const result = await this.work(request, world, hooks, {dryRun, signal})
      await this.renderer.stop()
      const exitCode = rollbackExitCode(result, this.signals.first)
      const stream = exitCode === ExitCode.ok ? process.stdout : process.stderr
      const lines = rollbackSummaryLines(result, this.width, commandLine)
      const isBrief = quiet && exitCode === ExitCode.ok && !dryRun
      if (!json) stream.write(`${(isBrief ? lines.slice(0, 1) : lines).join('\n')}\n`)
      return {exitCode, result}
    } finally {
      await this.renderer.stop()
      this.signals.dispose()
    }
  }

  private async confirm({effects, found, typeName}: Plan): Promise<boolean> {
    const {confirmed, json, quiet, request, yes} = this.options
    const {table} = request
    const isAsked = !(typeName === undefined ? yes : confirmed === table)
    if (!json && (quiet ? isAsked : !(yes && typeName === undefined))) {
      process.stdout.write(`${rollbackPlanLines(found, effects, this.width).join('\n')}\n`)
    }

    if (!isAsked) return true
    if (!this.terminal) return false
    const message = typeName === undefined ? `Type ${table} to begin:` : `Type ${table} to begin; ${typeName}:`
    try {
      return await confirmWord(this.terminal, message, table, this.signals.controller.signal)
    } catch (error) {
      if (!(error instanceof PromptClosed)) throw error
      this.signals.stop('SIGINT')
      return false
    }
  }

  private requireNoQuestions(): void {
    const {confirmed, dryRun, request, yes} = this.options
    if (dryRun) return
    const refuse = (next: string) =>
      new MigratorError('ui.no_terminal', 'there is no terminal to ask on; nothing was done', {
        exitCode: ExitCode.refused,
        next,
      })
    if ((request.dropTarget || request.allowDataLoss) && confirmed !== request.table) {
      throw refuse(`look with --dry-run, then say --confirm ${request.table}`)
    }

    if (!yes) throw refuse('look with --dry-run, then say --yes')
  }

  /** Second signal: Listr holds back what is written to the streams, so this goes to the file descriptor. */
  private leave(signal: StopSignal): void {
    const {commandLine, request} = this.options
    const {deniedSinceMs} = this.watch
    const writes =
      deniedSinceMs === undefined
        ? `This rollback denies no writes to ${request.table} now; whether an earlier run does, status tells.`
        : `Writes to ${request.table} may be denied, since ${formatTimeOfDay(deniedSinceMs)}.`
    writeSync(
      2,
      `\u001B[?25h\n${signal} again: leaving at once. ${writes} To go on from here, run:\n  ${commandLine}\n`,
    )
  }

  private newRenderer(): RollbackRenderer {
    const {json, quiet, request, world} = this.options
    const {maxWriteDenyMs: boundMs, table} = request
    const kind = chooseRenderer({env: process.env, json, quiet, stdout: process.stdout})
    if (kind === 'silent') return new RollbackSilent(process.stderr)
    if (kind === 'plain') return new RollbackLines(world.clock, process.stdout, table)
    return new RollbackList(world.clock, {
      boundMs,
      isStopping: () => this.signals.first !== undefined,
      watch: this.watch,
    })
  }

  private get width(): number {
    return widthOf(process.stdout)
  }
}
