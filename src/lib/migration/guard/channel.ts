import {join} from 'node:path'

import {messageOf, MigratorError} from '../../errors.js'
import {diskFiles, type Files} from '../../files.js'
import {isInstant, isPid} from '../../values.js'
import {journalFileName} from '../journal.js'

/** What the driver tells the guard with each beat. */
export type DriverStage = 'armed' | 'dismissed'

interface Beat {
  count: number
  stage: DriverStage
}

/** What the guard tells of itself; `table:migrate-status` shows it. */
export interface GuardStatus {
  /** Milliseconds since 1970 at which it began to watch. */
  sinceMs: number
  pid: number
  state: 'acting' | 'alarmed' | 'gone' | 'lifted' | 'switched' | 'watching' | 'yielding'
  /** The last thing that happened. */
  text: string
}

/** Who may decide the outcome of the cutover; the first to claim it wins. */
export type Claimant = 'guard' | 'word'

/**
 * How driver and guard hear of each other: small files beside the journal, readable by their owner only. A beat is a
 * number that changes; nobody compares clocks.
 */
export class GuardChannel {
  private readonly base: string

  constructor(
    private readonly directory: string,
    table: string,
    targetCluster: string,
    private readonly files: Files = diskFiles,
  ) {
    this.base = join(directory, journalFileName(table, targetCluster).replace(/\.jsonl$/, ''))
  }

  get planPath(): string {
    return `${this.base}.guard-plan.json`
  }

  async beat(count: number, stage: DriverStage): Promise<void> {
    await this.replace('beat', JSON.stringify({count, stage}))
  }

  /** Takes the right to decide. @returns whether it was still free, or ours already @throws MigratorError `guard.channel` */
  async claim(who: Claimant): Promise<boolean> {
    return (await this.create('claim', who)) || (await this.claimant()) === who
  }

  async claimant(): Promise<Claimant | undefined> {
    const text = await this.read('claim')
    return text === 'word' ? 'word' : text === undefined ? undefined : 'guard'
  }

  /** Removes what an earlier cutover left, before a new one begins. */
  async clear(): Promise<void> {
    await this.files.makeDirectory(this.directory)
    const paths = [...['beat', 'claim', 'guard'].map((name) => `${this.base}.${name}`), this.planPath]
    await Promise.all(paths.map((path) => this.files.remove(path)))
  }

  /**
   * Removes what a guard that ends leaves; its own file last, because a new one begins when that is gone.
   * @param claimToo unless its driver may wake up: then it must still find that the guard has decided
   */
  async leave(claimToo: boolean): Promise<void> {
    const names = ['beat', ...(claimToo ? ['claim'] : []), 'guard']
    for (const name of names) await this.files.remove(`${this.base}.${name}`)
  }

  /** @throws MigratorError `guard.channel` */
  async readBeat(): Promise<Beat | undefined> {
    return this.readJson('beat', isBeat)
  }

  /** @throws MigratorError `guard.channel` */
  async readStatus(): Promise<GuardStatus | undefined> {
    return this.readJson('guard', isStatus)
  }

  async tell(status: GuardStatus): Promise<void> {
    await this.replace('guard', JSON.stringify(status))
  }

  private async read(name: string): Promise<string | undefined> {
    try {
      return await this.files.read(`${this.base}.${name}`)
    } catch (error) {
      throw this.trouble(name, messageOf(error), error)
    }
  }

  private async create(name: string, text: string): Promise<boolean> {
    try {
      return await this.files.createExclusively(`${this.base}.${name}`, text)
    } catch (error) {
      throw this.trouble(name, messageOf(error), error)
    }
  }

  private async readJson<T>(name: string, isWhole: (value: Partial<T>) => boolean): Promise<T | undefined> {
    const text = await this.read(name)
    if (text === undefined) return undefined
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      throw this.trouble(name, 'it is damaged', error)
    }

    if (typeof value !== 'object' || value === null || !isWhole(value)) throw this.trouble(name, 'it is damaged')
    return value as T
  }

  private replace(name: string, text: string): Promise<void> {
    return this.files.replace(`${this.base}.${name}`, text)
  }

  private trouble(name: string, why: string, cause?: unknown): MigratorError {
    const path = `${this.base}.${name}`
    return new MigratorError('guard.channel', `the guard's file ${path}: ${why}`, {
      cause,
      next: `See that its directory can be read and written, and has space left; if the file is damaged and no guard of the table runs here, delete it.`,
    })
  }
}

const states: ReadonlySet<unknown> = new Set([
  'acting',
  'alarmed',
  'gone',
  'lifted',
  'switched',
  'watching',
  'yielding',
])

function isBeat({count, stage}: Partial<Beat>): boolean {
  return Number.isSafeInteger(count) && (stage === 'armed' || stage === 'dismissed')
}

function isStatus({pid, sinceMs, state, text}: Partial<GuardStatus>): boolean {
  return isPid(pid) && isInstant(sinceMs) && states.has(state) && typeof text === 'string'
}
