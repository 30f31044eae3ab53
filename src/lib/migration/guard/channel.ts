import {join} from 'node:path'

import {messageOf, MigratorError} from '../../errors.js'
import {diskFiles, type Files} from '../../files.js'
import {journalFileName} from '../journal.js'

/** What the driver tells the guard with each beat. */
export type DriverStage = 'armed' | 'dismissed'

/** What the guard tells of itself; `table:migrate-status` shows it. */
export interface GuardStatus {
  /** Milliseconds since 1970 at which it began to watch. */
  sinceMs: number
  pid: number
  state: 'acting' | 'alarmed' | 'gone' | 'lifted' | 'switched' | 'watching'
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

  /** Takes the right to decide. @returns whether it was still free, or ours already */
  async claim(who: Claimant): Promise<boolean> {
    const mine = await this.files.createExclusively(`${this.base}.claim`, who)
    return mine || (await this.claimant()) === who
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

  async readBeat(): Promise<{count: number; stage: DriverStage} | undefined> {
    return this.readJson('beat')
  }

  async readStatus(): Promise<GuardStatus | undefined> {
    return this.readJson('guard')
  }

  async tell(status: GuardStatus): Promise<void> {
    await this.replace('guard', JSON.stringify(status))
  }

  private async read(name: string): Promise<string | undefined> {
    try {
      return await this.files.read(`${this.base}.${name}`)
    } catch (error) {
      throw new MigratorError('guard.channel', `the guard's file ${this.base}.${name}: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }

  private async readJson<T>(name: string): Promise<T | undefined> {
    const text = await this.read(name)
    return text === undefined ? undefined : (JSON.parse(text) as T)
  }

  private replace(name: string, text: string): Promise<void> {
    return this.files.replace(`${this.base}.${name}`, text)
  }
}
