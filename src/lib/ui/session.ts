import {writeSync} from 'node:fs'
import {messageOf, MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import type {MigrationEvent} from '../migration/events.js'
import type {MigrateHooks, Migrate, MigrationPlan, MigrationWorld} from '../migration/index.js'
import type {ReleaseKey} from '../migration/hold-desk.js'
import type {MigrationRequest} from '../migration/request.js'
import type {MigrationResult} from '../migration/result.js'
import {checkLines} from './checks.js'
import {DenyWatch} from './deny-watch.js'
import {expectationOf} from './expectations.js'
import {ListRenderer} from './list-renderer.js'
import {outliveTerminal} from './lost-terminal.js'
import {exitCodeOf, signalExitCodes, signalNames, type StopSignal} from './outcome.js'
import {PlainRenderer} from './plain-renderer.js'
import {QuietRenderer} from './quiet-renderer.js'
import {releaseKey} from './release-key.js'
import {planLines, planTalk} from './plan.js'
import {acceptChecks, askMoved, confirmTable, findTerminal, PromptClosed, type Terminal} from './prompts.js'
import {ReportDesk} from './report/desk.js'
import {chooseRenderer, type Renderer, type RendererKind, SilentRenderer} from './renderer.js'
import {SignalWatch} from './signals.js'
import {summaryLines} from './summary.js'
import {formatTimeOfDay, paragraph, printable, widthOf} from './text.js'
import {withZooKeeperHosts} from './zookeeper-hosts.js'

export interface SessionOptions {
  /** The command line that was given, quoted for a shell. */
  commandLine: string
  /** Where a report of the run goes; undefined: nowhere. */
  report: string | undefined
  /** What the report says of us. */
  tool: {name: string; version: string}
  dryRun: boolean
  json: boolean
  quiet?: boolean
  request: MigrationRequest
  world: MigrationWorld
  yes: boolean
}

/** A dry run only looks: of the phases after Preflight it tells what they would do, and that in its summary. */
function isOfDryRun(event: MigrationEvent): boolean {
  return 'phase' in event ? event.phase === 'preflight' : event.type !== 'effect'
}

/** One run of `table:migrate` in front of a person or a log: shows it, asks, and hears signals. */
export class Session {
  private readonly denyWatch = new DenyWatch()
  private drawingError: unknown
  private findingsTold = false
  private readonly kind: RendererKind
  private plan: MigrationPlan | undefined
  private renderer: Renderer
  private readonly reportDesk: ReportDesk
  private reportSaid: string | undefined
  private readonly signals: SignalWatch
  private readonly terminal: Terminal | undefined

  /** @throws MigratorError `ui.no_terminal` when somebody would have to be asked and nobody can be */
  constructor(
    private readonly migrate: Migrate,
    private readonly options: SessionOptions,
  ) {
    this.kind = chooseRenderer({env: process.env, json: options.json, quiet: options.quiet, stdout: process.stdout})
    this.terminal = options.json ? undefined : findTerminal(process)
    if (!this.terminal) this.requireNoQuestions()
    this.renderer = this.newRenderer()
    const {commandLine, report, request, tool, world} = options
    this.reportDesk = new ReportDesk({clock: world.clock, commandLine, path: report, table: request.table, tool})
    this.signals = new SignalWatch(process, {
      // eslint-disable-next-line n/no-process-exit, unicorn/no-process-exit -- the second signal asks for just that
      exit: (code) => process.exit(code),
      onCrash: (error) => this.renderer.notice(`an error that nobody caught, stopping: ${messageOf(error)}`),
      onFirst: (signal) =>
        this.renderer.notice(`${signal}: stopping; what can be taken back is taken back. A second one leaves at once.`),
      onSecond: (signal) => this.leave(signal),
      onSuspend: () =>
        this.renderer.notice(
          'Ctrl-Z is not obeyed: a stopped process could not allow writes again. Ctrl-C stops the run.',
        ),
    })
  }

  async run(): Promise<{exitCode: ExitCode; result: MigrationResult}> {
    outliveTerminal([process.stdout, process.stderr])
    try {
      const {exitCode, result} = await this.runAndReport()
      const talk = result.outcome === 'dry-run' ? planTalk(result, this.options.request, this.width) : []
      const lines = summaryLines(result, this.options.commandLine, this.width, talk)
      const isBrief = this.options.quiet === true && exitCode === ExitCode.ok && result.outcome !== 'dry-run'
      const shown = isBrief ? lines.slice(0, 1) : lines
      this.say(
        this.kind === 'list' ? ['', ...shown] : shown,
        exitCode === ExitCode.ok ? process.stdout : process.stderr,
      )
      if (this.drawingError !== undefined)
        process.stderr.write(`The display broke on the way: ${printable(messageOf(this.drawingError))}\n`)
      if (this.reportSaid !== undefined)
        this.say(['', printable(this.reportSaid)], exitCode === ExitCode.ok ? process.stdout : process.stderr)
      return {exitCode, result}
    } finally {
      this.signals.dispose()
    }
  }

  /** A report is also written of a run that fails or breaks. */
  private async runAndReport(): Promise<{exitCode: ExitCode; result: MigrationResult}> {
    await this.reportDesk.open()
    try {
      const result = await this.runUntilAccepted()
      const exitCode = exitCodeOf(result, this.signals.first)
      this.reportSaid = await this.reportDesk.write({exitCode, result})
      return {exitCode, result}
    } catch (error) {
      await this.reportDesk.write({error})
      throw error
    }
  }

  /** Runs again, from Preflight on, when the operator accepts what Preflight wanted to have confirmed. */
  private async runUntilAccepted(): Promise<MigrationResult> {
    const accepted = [...this.options.request.accepted]
    for (;;) {
      const result = await this.attempt({...this.options.request, accepted})
      const open = this.toAccept(result, accepted)
      if (!this.terminal || open.length === 0) return result
      this.say(['', ...checkLines(result.checks, this.width), ''])
      this.findingsTold = true
      if (!(await this.asked((terminal) => acceptChecks(terminal, open, this.signals.controller.signal), false)))
        return result
      accepted.push(...open.map(({id}) => id))
      this.renderer = this.newRenderer()
    }
  }

  private async attempt(request: MigrationRequest): Promise<MigrationResult> {
    const {dryRun, world} = this.options
    const hooks: MigrateHooks = {
      askMoved: (signal) => this.askMoved(signal),
      confirm: (plan) => this.confirm(plan),
      emit: (event) => {
        if (dryRun && !isOfDryRun(event)) return
        this.denyWatch.onEvent(event)
        this.reportDesk.onEvent(event)
        try {
          this.renderer.onEvent(event)
        } catch (error) {
          // A migration goes on without its display; it is told at the end.
          this.drawingError ??= error
        }
      },
      ...(this.terminal ? {releaseKey: this.releaseKey()} : {}),
    }
    let result: MigrationResult | undefined
    this.renderer.start()
    try {
      const {signal} = this.signals.controller
      result = await this.migrate(await withZooKeeperHosts(request, world, signal), world, hooks, {dryRun, signal})
      return result
    } catch (error) {
      if (this.denyWatch.deniedSinceMs === undefined) throw error
      throw new MigratorError('ui.broken', `${messageOf(error)}. ${this.leftBehind()}`, {
        cause: error,
        exitCode: ExitCode.needsOperator,
        next: this.options.commandLine,
      })
    } finally {
      await this.renderer.stop(result)
    }
  }

  private toAccept(result: MigrationResult, accepted: string[]) {
    if (this.options.dryRun || result.error?.code !== 'preflight.refused') return []
    if (result.checks.some(({severity}) => severity === 'error')) return []
    return result.checks.filter(({id, severity}) => severity === 'confirm' && !accepted.includes(id))
  }

  private confirm({effects, result}: {effects: string[]; result: MigrationResult}): Promise<boolean> {
    const {plan, source, table, target} = result
    this.plan = plan
    return this.renderer.pause(async () => {
      // Lines of a log have told the findings already.
      if (this.kind === 'list' && !this.findingsTold) this.say(['', ...checkLines(result.checks, this.width), ''])
      if (this.options.yes && this.kind !== 'list') return true
      const steps = ['It will do this, in this order:', ...planLines(effects, this.width)]
      this.say([...steps, '', ...planTalk(result, this.options.request, this.width), ''])
      if (this.options.yes) return true
      const names = {source: source.cluster, table, target: target.cluster}
      return this.asked((terminal) => confirmTable(terminal, names, this.signals.controller.signal), false)
    })
  }

  private askMoved(signal: AbortSignal): Promise<'abort' | 'moved'> {
    const {maxWriteDenyMs, sourceMetas, targetCluster, targetMetas} = this.options.request
    const {deniedSinceMs} = this.denyWatch
    const until =
      deniedSinceMs === undefined ? '' : ` until ${formatTimeOfDay(deniedSinceMs + maxWriteDenyMs)} at the latest`
    const sentences = [
      `Everything that was accepted is on ${targetCluster}. Writes are denied${until}: by then the source allows them again by itself, so answer well before.`,
      `Do not move the applications yet. Type "moved" to hand over: the source (${sourceMetas.join(',')}) then refuses every client, and only after that point the applications at ${targetMetas.join(',')}.`,
      'Type "abort" to have writes allowed on the source again.',
    ]
    return this.renderer.pause(async () => {
      this.say(['', ...sentences.flatMap((sentence) => paragraph(sentence, '', this.width))])
      return this.asked((terminal) => askMoved(terminal, signal), 'abort')
    })
  }

  /** Asks; Ctrl-C in the prompt counts as the signal that it would have been without one. */
  private async asked<T>(question: (terminal: Terminal) => Promise<T>, otherwise: T): Promise<T> {
    if (!this.terminal) throw new TypeError('nobody can be asked here')
    try {
      return await question(this.terminal)
    } catch (error) {
      if (!(error instanceof PromptClosed)) throw error
      this.signals.stop('SIGINT')
      return otherwise
    }
  }

  private requireNoQuestions(): void {
    const {dryRun, request, yes} = this.options
    if (dryRun) return
    const refuse = (message: string, next: string) =>
      new MigratorError('ui.no_terminal', message, {exitCode: ExitCode.refused, next})
    if (!yes) throw refuse('there is no terminal to ask on; nothing was done', 'look with --dry-run, then say --yes')
    if (!request.metaproxy && request.afterDrain === 'ask')
      throw refuse(
        'there is no terminal to ask on once everything is on the target; nothing was done',
        'say --root for a switch, or what is to happen then: --after-drain keep, or --after-drain lift',
      )
  }

  /** Second signal: Listr holds back what is written to the streams, so this goes to the file descriptor. */
  private leave(signal: StopSignal): void {
    const {commandLine} = this.options
    const showCursor = this.kind === 'list' ? '\u001B[?25h' : ''
    const left = this.leftBehind()
    writeSync(2, `${showCursor}\n${signal} again: leaving at once. ${left}\n  ${commandLine}\n`)
    const message = `a second ${signalNames[signal]} ended it at once. ${left}`
    const said = this.reportDesk.writeAtOnce(
      new MigratorError('ui.left', message, {exitCode: signalExitCodes[signal], next: commandLine}),
    )
    if (said !== undefined) writeSync(2, `${printable(said)}\n`)
  }

  private releaseKey(): ReleaseKey {
    return releaseKey(process.stdin, {
      onInterrupt: () => this.signals.stop('SIGINT'),
      onSuspend: () => this.renderer.notice('Ctrl-Z is not obeyed. Ctrl-C stops the run.'),
    })
  }

  private leftBehind(): string {
    const {table} = this.options.request
    const {deniedSinceMs} = this.denyWatch
    return deniedSinceMs === undefined
      ? `Writes to ${table} are not denied by this run. To go on from here, run:`
      : `Writes to ${table} may be denied, since ${formatTimeOfDay(deniedSinceMs)}. To go on from here, or to have them allowed again, run:`
  }

  private newRenderer(): Renderer {
    const {request, world} = this.options
    if (this.options.quiet && !this.options.json) return new QuietRenderer(process.stderr)
    if (this.kind === 'silent') return new SilentRenderer(process.stderr)
    if (this.kind === 'plain') return new PlainRenderer(world.clock, process.stdout, request.table)
    return new ListRenderer(world.clock, {
      boundMs: request.maxWriteDenyMs,
      denyWatch: this.denyWatch,
      expect: (phase) => expectationOf(this.plan, phase),
      isStopping: () => this.signals.first !== undefined,
    })
  }

  private say(lines: string[], stream: NodeJS.WriteStream = process.stdout): void {
    if (!this.options.json) stream.write(`${lines.join('\n')}\n`)
  }

  private get width(): number {
    return widthOf(process.stdout)
  }
}
