import {renameSync, rmSync, writeFileSync} from 'node:fs'
import {access, constants, rename, rm, stat, writeFile} from 'node:fs/promises'
import {dirname, extname, resolve} from 'node:path'
import {messageOf, MigratorError} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import {htmlPage} from './html.js'
import {markdownPage} from './markdown.js'
import type {MigrationReport} from './record.js'

const formats: Record<string, (report: MigrationReport) => string> = {
  '.htm': htmlPage,
  '.html': htmlPage,
  '.json': (report) => `${JSON.stringify(report, null, 2)}\n`,
  '.md': markdownPage,
}

/** The format that the file's name asks for. @throws MigratorError `usage` when it asks for none */
export function formatOf(path: string): (report: MigrationReport) => string {
  const format = formats[extname(path).toLowerCase()]
  if (format) return format
  throw new MigratorError('usage', `a report ends in ${Object.keys(formats).join(', ')}`, {
    exitCode: ExitCode.usage,
    facts: {input: path},
  })
}

const besideOf = (path: string) => `${path}.${process.pid}.part`

function reasonOf(error: unknown, directory: string): string {
  const {code} = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') return `there is no directory ${directory}`
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return `${directory} may not be written to (${code})`
  return messageOf(error)
}

/** @throws MigratorError `report.unwritable` when the report could not be written at the end: better now than after the run */
export async function requireWritable(path: string): Promise<void> {
  const full = resolve(path)
  try {
    formatOf(full)
    const there = await stat(full).catch(() => undefined)
    if (there && !there.isFile()) throw new Error('there is something else of this name')
    if (there) await access(full, constants.W_OK)
    await writeFile(besideOf(full), '', {flag: 'wx'})
    await rm(besideOf(full))
  } catch (error) {
    if (error instanceof MigratorError) throw error
    throw new MigratorError('report.unwritable', `the report cannot be written: ${reasonOf(error, dirname(full))}`, {
      cause: error,
      exitCode: ExitCode.usage,
      next: 'Name a file that may be written; nothing was touched.',
    })
  }
}

/** Writes it beside its place first: a report is whole, or the one from before. */
export async function writeReport(path: string, report: MigrationReport): Promise<void> {
  const full = resolve(path)
  try {
    await writeFile(besideOf(full), formatOf(full)(report))
    await rename(besideOf(full), full)
  } catch (error) {
    await rm(besideOf(full), {force: true})
    throw error
  }
}

/** The same without giving anybody else a turn: for a process that is about to leave. */
export function writeReportAtOnce(path: string, report: MigrationReport): void {
  const full = resolve(path)
  try {
    writeFileSync(besideOf(full), formatOf(full)(report))
    renameSync(besideOf(full), full)
  } catch (error) {
    rmSync(besideOf(full), {force: true})
    throw error
  }
}
