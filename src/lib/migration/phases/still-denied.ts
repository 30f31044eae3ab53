import {sleep} from '../../clock.js'
import {factsOf, type MigrationContext, type PrimaryAt} from '../context.js'
import {MigratorError} from '../../errors.js'
import type {Progress} from '../events.js'
import {readPrimaries} from '../proof/primaries.js'
import {Probes} from '../proof/prober.js'
import {Silence, SilenceRounds} from '../proof/silence.js'
import {listed} from '../proof/shipping.js'
import {denyLimitMs, proveDeny} from './deny.js'

const POLL_MS = 50

/**
 * Whether the primaries go on refusing writes while the table is drained. Where they answer they are asked at the end; where silence is
 * all there is they are watched all along, so that at the end no probe was answered for as long as silence takes to count.
 */
export class StillDenied {
  private readonly rounds: SilenceRounds | undefined

  /** Begins to watch. */
  constructor(
    private readonly context: MigrationContext,
    private readonly report: (progress: Progress) => void,
  ) {
    const {client, clock, request, signal, state} = context
    if (request.denyMode !== 'timeout') return
    const {appId, partitionCount} = factsOf(context).source.configuration
    const probes = new Probes({appId, partitionCount, pool: client.pool, signal})
    this.rounds = new SilenceRounds(clock)
    this.rounds.watch([...state.denied.values()].map((denied) => new Silence(denied, clock, probes, denied.sinceMs)))
  }

  /** @returns the primaries that refuse. @throws MigratorError `deny.not_proved` */
  async prove(): Promise<Map<number, PrimaryAt>> {
    const {context, rounds} = this
    if (!rounds) return (await proveDeny(context, this.report)).primaries
    const {clock, request, signal, source} = context
    const startMs = clock.nowMs()
    for (let {broken} = rounds; broken.length > 0; broken = rounds.broken) {
      if (clock.nowMs() - startMs > denyLimitMs(context)) {
        const which = listed(
          'partition',
          broken.map(({primary}) => primary.partitionIndex),
        )
        const [{answer, primary}] = broken as [(typeof broken)[number]]
        throw new MigratorError(
          'deny.not_proved',
          `${request.table}: writes to ${which} are not left unanswered any more: ${primary.server} ${answer}`,
          {
            next: 'Writes are allowed again on the source. See whether somebody else changes its envs; the same command goes on from here.',
          },
        )
      }

      await sleep(clock, POLL_MS, signal)
    }

    return (await readPrimaries(source, request.table, signal)).primaries
  }

  stop(): void {
    this.rounds?.stop()
  }
}
