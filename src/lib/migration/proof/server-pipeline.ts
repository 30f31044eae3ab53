import {type Clock, sleep} from '../../clock.js'
import type {ReplicaServer} from '../../pegasus/replica-server.js'
import type {PrimaryAt} from '../context.js'
import type {Generation} from '../preflight/check.js'
import type {FenceBook} from './fence-book.js'
import {DECREES_TIMEOUT_MS} from './primaries.js'
import {type PartitionShipping, readServer} from './shipping.js'

/** Between two looks at a server's gaps. */
const POLL_MS = 150
/** After so long its replicas are asked for whatever the gaps say. */
const FULL_EVERY_MS = 1000

export interface ServerPipelineOptions {
  appId: number
  book: FenceBook
  clock: Clock
  dupid: number
  /** The partitions that the server is primary of. */
  expected: PrimaryAt[]
  generation: Generation
  server: ReplicaServer
  signal: AbortSignal
}

/**
 * Follows one server's partitions from their deny to their fence to the target's acknowledgement, one request at a time. The gaps
 * are one cheap question for all of them; the list of replicas, which holds every table's, is asked for only when a fence is
 * to be read or a gap has changed.
 */
export class ServerPipeline {
  private figures: string | undefined
  private fullMs = Number.NEGATIVE_INFINITY

  constructor(private readonly options: ServerPipelineOptions) {}

  /** @param look bears trouble that may pass */
  async run(look: <T>(read: () => Promise<T>) => Promise<T>, tell: () => void): Promise<void> {
    const {book, clock, signal} = this.options
    for (;;) {
      signal.throwIfAborted()
      const open = this.open
      if (open.length === 0) return
      const wantsFence = open.some((index) => book.wantsFence(index))
      const changed = await look(() => this.haveChanged())
      if (wantsFence || changed || clock.nowMs() - this.fullMs >= FULL_EVERY_MS) await look(() => this.readFully())
      tell()
      if (this.open.length > 0) await sleep(clock, POLL_MS, signal)
    }
  }

  private get open(): number[] {
    const {book, expected} = this.options
    return expected.map(({partitionIndex}) => partitionIndex).filter((index) => !book.isThrough(index))
  }

  /** Whether anything moved since the last look: what was shipped, or what came to be shipped. */
  private async haveChanged(): Promise<boolean> {
    const before = this.figures
    this.figures = await this.readFigures()
    return before !== undefined && before !== this.figures
  }

  private async readFigures(): Promise<string> {
    const {appId, dupid, generation, server, signal} = this.options
    const limits = {signal, timeoutMs: DECREES_TIMEOUT_MS}
    const open = new Set(this.open)
    if (generation === 'master') {
      const progress = (await server.progress(appId, limits)) ?? []
      return progress
        .filter(({isPrimary, partitionIndex}) => isPrimary && open.has(partitionIndex))
        .map(({duplications, lastCommittedDecree, partitionIndex}) => {
          const ours = duplications.find((entry) => entry.dupid === dupid)
          return `${partitionIndex} ${lastCommittedDecree} ${ours?.shippedDecree}`
        })
        .join()
    }

    const {states} = await server.duplicationStates(appId, limits)
    return states
      .filter((state) => state.dupid === dupid && open.has(state.partitionIndex))
      .map(
        ({notConfirmedMutations, notDuplicatedMutations, partitionIndex}) =>
          `${partitionIndex} ${notConfirmedMutations} ${notDuplicatedMutations}`,
      )
      .join()
  }

  /** Fences and acknowledged decrees of all of the server's partitions. */
  private async readFully(): Promise<void> {
    const {appId, book, clock, dupid, expected, generation, server, signal} = this.options
    const readAtMs = clock.nowMs()
    const {partitions} = await readServer({decrees: true, dupid, generation, signal}, server, appId, expected)
    this.fullMs = clock.nowMs()
    const seen = [...partitions.values()]
    book.note(
      seen.map(({ballot, fenceDecree, partitionIndex, server: address}: PartitionShipping) => ({
        ballot,
        decree: fenceDecree,
        partitionIndex,
        server: address,
      })),
      readAtMs,
    )
    for (const shipping of seen) book.shipped(shipping)
  }
}
