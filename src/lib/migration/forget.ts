import type {Clock} from '../clock.js'
import type {Cluster} from '../pegasus/cluster.js'
import {DuplicationStatus} from '../rpc/structs/duplication.js'
import type {Progress} from './events.js'
import {shortList} from './proof/shipping.js'
import {waitUntil} from './wait.js'

const POLL_MS = 1000

export interface ForgetOptions {
  appId: number
  clock: Clock
  cluster: Cluster
  dupid: number
  limitMs: number
  report(progress: Progress): void
  signal: AbortSignal
  table: string
}

/**
 * Waits until the metas and every living server have forgotten a removed duplication: servers do at their next
 * duplication sync, 10 s at most (measured.md §5); dropping a table earlier crashes them.
 * @throws MigratorError `wait.limit` naming the servers that still know it
 */
export async function waitUntilForgotten(options: ForgetOptions): Promise<void> {
  const {clock, limitMs, report, signal} = options
  await waitUntil<string[]>({
    clock,
    describe: (left) => `still known by ${shortList(left)}`,
    done: (left) => left.length === 0,
    intervalMs: POLL_MS,
    limitMs,
    observe: () => whoKnows(options),
    onProgress: (left) =>
      report({text: left.length === 0 ? 'every server has forgotten it' : `still known by ${shortList(left)}`}),
    signal,
    stage: `removal of duplication ${options.dupid}`,
  })
}

/** Who of metas and living servers knows the duplication. */
export async function whoKnows({
  appId,
  cluster,
  dupid,
  signal,
  table,
}: Pick<ForgetOptions, 'appId' | 'cluster' | 'dupid' | 'signal' | 'table'>): Promise<string[]> {
  const entries = await cluster.duplications(table, {signal})
  if (entries.some((entry) => entry.dupid === dupid && entry.status !== DuplicationStatus.DS_REMOVED))
    return ['the meta']
  const nodes = await cluster.nodes({signal})
  const knowing = await Promise.all(
    nodes
      .filter(({alive}) => alive)
      .map(async ({address}) => {
        const {states} = await cluster.server(address).duplicationStates(appId, {signal})
        return states.some((state) => state.dupid === dupid) ? address : undefined
      }),
  )
  return knowing.filter((address) => address !== undefined)
}
