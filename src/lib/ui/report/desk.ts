import type {Clock} from '../../clock.js'
import {isMigratorError, messageOf} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import type {MigrationEvent} from '../../migration/events.js'
import type {MigrationResult} from '../../migration/result.js'
import {type MigrationReport, Recorder} from './record.js'
import {requireWritable, writeReport, writeReportAtOnce} from './write.js'

export interface DeskOptions {
  clock: Clock
  commandLine: string
  /** Undefined: no report is wanted. */
  path: string | undefined
  table: string
  tool: {name: string; version: string}
}

/** Keeps what a run tells, and writes its report, however it ends. */
export class ReportDesk {
  private readonly recorder = new Recorder()
  private startedAtMs = 0

  constructor(private readonly options: DeskOptions) {}

  /** @throws MigratorError when there could be no report at the end */
  async open(): Promise<void> {
    const {clock, path} = this.options
    this.startedAtMs = clock.wallMs()
    if (path !== undefined) await requireWritable(path)
  }

  onEvent(event: MigrationEvent): void {
    if (this.options.path !== undefined) this.recorder.onEvent(event)
  }

  /** @returns what to say of it: a migration does not fail for its report. Undefined: none is wanted */
  async write(end: {error: unknown} | {exitCode: ExitCode; result: MigrationResult}): Promise<string | undefined> {
    const {path} = this.options
    if (path === undefined) return undefined
    try {
      await writeReport(path, this.reportOf(end))
      return `Report: ${path}`
    } catch (error) {
      return `The report could not be written: ${messageOf(error)}`
    }
  }

  /** As `write`, of a run that leaves at once: what has not ended looks so. */
  writeAtOnce(error: unknown): string | undefined {
    const {path} = this.options
    if (path === undefined) return undefined
    try {
      writeReportAtOnce(path, this.reportOf({error}))
      return `Report: ${path}`
    } catch (error_) {
      return `The report could not be written: ${messageOf(error_)}`
    }
  }

  private reportOf(end: Parameters<ReportDesk['write']>[0]): MigrationReport {
    const {clock, commandLine, table, tool} = this.options
    const {remarks, samples, spans} = this.recorder
    return {
      command: commandLine,
      endedAtMs: clock.wallMs(),
      exitCode: 'error' in end ? exitCodeOf(end.error) : end.exitCode,
      ...('error' in end ? {failure: failureOf(end.error)} : {result: end.result}),
      remarks,
      samples,
      schema: 1,
      spans,
      startedAtMs: this.startedAtMs,
      table,
      tool: {...tool, node: process.versions.node},
    }
  }
}

const exitCodeOf = (error: unknown) => (isMigratorError(error) ? error.exitCode : ExitCode.failed)

function failureOf(error: unknown): NonNullable<MigrationReport['failure']> {
  const next = isMigratorError(error) ? error.next : undefined
  return {
    code: isMigratorError(error) ? error.code : 'unexpected',
    message: messageOf(error),
    ...(next === undefined ? {} : {next}),
  }
}
