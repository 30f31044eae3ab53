import {join} from 'node:path'
import type {Clock} from '../../clock.js'
import type {Files} from '../../files.js'
import {isInstant} from '../../values.js'
import {journalFileName} from '../journal.js'
import {defaultTtlEnv, type Sides} from './sides.js'
import type {RowCounts, SettledPartition} from './types.js'

/** Written at most so often; a run that is killed loses no more. */
const writeIntervalMs = 1000

/** What must be the same for an earlier run's partitions to count. */
interface Identity {
  dupid: number
  defaultTtl: string
  partitionCount: number
  source: string
  sourceTableId: number
  target: string
  targetTableId: number
}

interface Saved {
  identity: Identity
  partitions: SettledPartition[]
  schema: 1
  sinceMs: number
}

/**
 * Partitions that were found the same, kept in a small file until a comparison has come to its end. Those with
 * differences, or with rows left open, are not kept: they are compared again.
 */
export class StateFile {
  readonly earlier: readonly SettledPartition[]
  /** When the first of the earlier ones was begun. */
  readonly sinceMs: number
  private dirty = false
  private readonly kept: SettledPartition[]
  private writing: Promise<void> = Promise.resolve()
  private writtenMs = -Infinity

  private constructor(
    private readonly path: string,
    private readonly files: Files,
    private readonly clock: Clock,
    private readonly identity: Identity,
    found: Saved | undefined,
  ) {
    this.earlier = found?.partitions ?? []
    this.kept = [...this.earlier]
    this.sinceMs = found?.sinceMs ?? clock.wallMs()
  }

  static async open(options: {
    clock: Clock
    directory: string
    files: Files
    resume: boolean
    sides: Sides
    table: string
  }): Promise<StateFile> {
    const {clock, directory, files, resume, sides, table} = options
    const {duplication, source, target} = sides
    const identity = {
      defaultTtl: [source, target].map((side) => side.table.envs.get(defaultTtlEnv) ?? '').join(' '),
      dupid: duplication?.dupid ?? 0,
      partitionCount: source.table.partitionCount,
      source: source.name,
      sourceTableId: source.table.appId,
      target: target.name,
      targetTableId: target.table.appId,
    }
    await files.makeDirectory(directory)
    const path = join(directory, journalFileName(table, target.name).replace(/\.jsonl$/, '.verify.json'))
    const found = resume ? parse(await files.read(path)) : undefined
    return new StateFile(path, files, clock, identity, found && isSame(found.identity, identity) ? found : undefined)
  }

  /** Nothing is left to go on from. */
  async remove(): Promise<void> {
    await this.writing
    await this.files.remove(this.path)
  }

  /** Notes a partition, and writes the file now and then. Errors come with `flush`. */
  settled(partition: SettledPartition): void {
    const {different, hot, missingOnSource, missingOnTarget, unresolved} = partition
    if (different + missingOnSource + missingOnTarget > 0 || unresolved > hot) return
    this.kept.push(partition)
    this.dirty = true
    if (this.clock.nowMs() - this.writtenMs >= writeIntervalMs) this.write()
  }

  /** Writes what is not written. @throws Node's errors of the disk */
  async flush(): Promise<void> {
    if (this.dirty) this.write()
    await this.writing
  }

  private write(): void {
    this.dirty = false
    this.writtenMs = this.clock.nowMs()
    const {identity, kept: partitions, sinceMs} = this
    const text = JSON.stringify({identity, partitions, schema: 1, sinceMs} satisfies Saved)
    this.writing = this.writing.then(() => this.files.replace(this.path, text))
    this.writing.catch(() => {}) // thrown by `flush`
  }
}

/** @returns undefined when it is not a file of ours, or was written by a later version */
function parse(text: string | undefined): Saved | undefined {
  if (text === undefined) return undefined
  let saved: Partial<Saved> | null
  try {
    saved = JSON.parse(text) as Partial<Saved> | null
  } catch {
    return undefined // torn or not ours: everything is compared again
  }

  if (saved?.schema !== 1 || !saved.identity || !isInstant(saved.sinceMs)) return undefined
  const count = saved.identity.partitionCount
  const partitions = new Map<number, SettledPartition>()
  for (const partition of Array.isArray(saved.partitions) ? saved.partitions : []) {
    if (!isSettled(partition, count)) return undefined
    partitions.set(partition.partition, partition)
  }

  return {identity: saved.identity, partitions: [...partitions.values()], schema: 1, sinceMs: saved.sinceMs}
}

const figures: readonly (keyof RowCounts | 'rowsOnSource' | 'rowsOnTarget')[] = [
  'different',
  'equal',
  'expiring',
  'hot',
  'missingOnSource',
  'missingOnTarget',
  'rowsCompared',
  'rowsOnSource',
  'rowsOnTarget',
  'unresolved',
]

function isSettled(value: unknown, partitionCount: number): value is SettledPartition {
  const found = value as Partial<SettledPartition> | null
  const isCount = (figure: unknown) => Number.isSafeInteger(figure) && (figure as number) >= 0
  return (
    typeof found === 'object' &&
    isCount(found?.partition) &&
    found!.partition! < partitionCount &&
    figures.every((figure) => isCount(found![figure]))
  )
}

function isSame(a: Identity, b: Identity): boolean {
  return (Object.keys(b) as (keyof Identity)[]).every((key) => a[key] === b[key])
}
