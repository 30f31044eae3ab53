import type {Stats} from 'node:fs'
import {lstat, readdir, stat} from 'node:fs/promises'
import {join, resolve} from 'node:path'

import type {Clock} from '../../clock.js'
import {messageOf, MigratorError} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import {hasCode} from '../../files.js'
import {type HookEnd, type HookFacts, type HookMoment, hookMoments, type OperatorHooks} from './moments.js'
import {runExecutable} from './run.js'

const GROUP_OR_OTHERS_MAY_WRITE = 0o022
const STICKY = 0o1000
const EXECUTABLE = 0o111

/** A directory of executables, each named after the moment at which it is to be run. */
export class HookDirectory implements OperatorHooks {
  private constructor(
    readonly path: string,
    private readonly clock: Clock,
    private readonly moments: ReadonlySet<HookMoment>,
    /** Executables whose names are no moment: a slip of the pen, mostly. */
    readonly others: readonly string[],
  ) {}

  /** Looks at everything in it. @throws MigratorError `hook.directory`, `hook.unsafe` */
  static async open(directory: string, clock: Clock): Promise<HookDirectory> {
    const path = resolve(directory)
    const names = await namesIn(path)
    const moments = new Set<HookMoment>()
    const others: string[] = []
    for (const name of names.sort()) {
      if (isMoment(name)) {
        const trouble = troubleOf(await lstat(join(path, name)))
        if (trouble !== undefined) throw unsafe(join(path, name), trouble)
        moments.add(name)
      } else if (troubleOf(await lstat(join(path, name))) === undefined) others.push(name)
    }

    return new HookDirectory(path, clock, moments, others)
  }

  has(moment: HookMoment): boolean {
    return this.moments.has(moment)
  }

  async run(facts: HookFacts, options: {limitMs: number; signal: AbortSignal}): Promise<HookEnd> {
    const path = join(this.path, facts.moment)
    const startMs = this.clock.nowMs()
    try {
      // Once more: hours may lie between the beginning and this moment.
      const trouble = troubleOf(await lstat(path))
      if (trouble !== undefined) throw unsafe(path, trouble)
      return await runExecutable(path, facts, {...options, clock: this.clock, directory: this.path})
    } catch (error) {
      return {lines: [], ok: false, text: messageOf(error), tookMs: Math.round(this.clock.nowMs() - startMs)}
    }
  }
}

async function namesIn(path: string): Promise<string[]> {
  try {
    const directory = await stat(path)
    if (!directory.isDirectory()) throw new Error('it is no directory')
    const isOpen = (directory.mode & GROUP_OR_OTHERS_MAY_WRITE) !== 0 && (directory.mode & STICKY) === 0
    if (isOpen) throw unsafe(path, 'others may write to it: chmod go-w')
    if (!isTrusted(directory)) throw unsafe(path, 'it belongs to somebody else')
    return await readdir(path)
  } catch (error) {
    if (error instanceof MigratorError) throw error
    const why = hasCode(error, 'ENOENT') ? 'there is none' : messageOf(error)
    throw new MigratorError('hook.directory', `hook directory ${path} cannot be used: ${why}`, {
      cause: error,
      exitCode: ExitCode.usage,
      next: 'Name a directory with executables (docs/hooks.md). Nothing was done.',
    })
  }
}

/** Why a file must not be run, or undefined. */
function troubleOf(file: Stats): string | undefined {
  if (!file.isFile()) return 'it is no regular file'
  if (!isTrusted(file)) return 'it belongs to somebody else'
  if ((file.mode & GROUP_OR_OTHERS_MAY_WRITE) !== 0) return 'others may write to it: chmod go-w'
  return (file.mode & EXECUTABLE) === 0 ? 'it cannot be executed: chmod +x' : undefined
}

/** What belongs to this user or to root. */
function isTrusted({uid}: Stats): boolean {
  const own = process.getuid?.()
  return own === undefined || uid === own || uid === 0
}

function isMoment(name: string): name is HookMoment {
  return (hookMoments as readonly string[]).includes(name)
}

function unsafe(path: string, trouble: string): MigratorError {
  return new MigratorError('hook.unsafe', `${path} is not run: ${trouble}`, {
    exitCode: ExitCode.usage,
    next: 'Mend that, or take the file away (docs/hooks.md).',
  })
}
