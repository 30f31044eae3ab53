import {deadline, sleep} from '../clock.js'
import {isMigratorError, messageOf, MigratorError} from '../errors.js'
import type {NodeRecord} from '../metaproxy/store.js'
import type {MigrationContext} from './context.js'
import {namesTarget} from './names-target.js'
import {mayPass} from './wait.js'

const POLL_MS = 1000
const LOOK_LIMIT_MS = 2000

/**
 * Looks at the table's node from the deny to the switch: whoever switches it by hand meanwhile sends clients to a target that still
 * gets what was written before, and what is shipped overwrites what they write there (protocol.md §4.11).
 */
export class NodeWatch {
  private readonly ending = new AbortController()

  /** @param onMoved hears once that somebody else wrote the node */
  constructor(
    private readonly context: MigrationContext,
    private readonly onMoved: (error: MigratorError) => void,
  ) {}

  begin(): void {
    if (this.context.store && !this.context.dryRun) void this.watch()
  }

  end(): void {
    this.ending.abort(new MigratorError('switch.watch_over', 'nobody looks at the node any more'))
  }

  private async watch(): Promise<void> {
    const {clock} = this.context
    const {signal} = this.ending
    try {
      for (;;) {
        await lookAtOwnNode(this.context, signal)
        await sleep(clock, POLL_MS, signal)
      }
    } catch (error) {
      if (signal.aborted) return
      this.onMoved(isMigratorError(error) ? error : new MigratorError('switch.node_moved', messageOf(error)))
    }
  }
}

/**
 * One look whether the node is as it was before the deny. Nothing is said about it once our own switch was sent, or while ZooKeeper
 * does not answer.
 * @throws MigratorError `switch.by_others` when it names the target, `switch.node_moved`
 */
export async function lookAtOwnNode(context: MigrationContext, signal: AbortSignal): Promise<void> {
  const {clock, request, state, store} = context
  if (!store || state.nodeVersion === undefined) return
  const askedAtMs = clock.wallMs()
  const late = () => new MigratorError('zk.timeout', `no answer within ${LOOK_LIMIT_MS} ms`)
  const limit = deadline(clock, LOOK_LIMIT_MS, late, signal)
  let node: NodeRecord | undefined
  try {
    node = await store.read(request.table, limit.signal)
  } catch (error) {
    signal.throwIfAborted()
    if (mayPass(error) && !isMigratorError(error, 'zk.no_node')) return
    if (!isMigratorError(error, 'metaproxy.bad_node', 'zk.no_node')) throw error
    if (state.commit !== 'none') return
    throw moved(context, messageOf(error))
  } finally {
    limit.dispose()
  }

  if (state.commit !== 'none') return
  if (node.version === state.nodeVersion) {
    state.nodeOursAtMs = askedAtMs
    return
  }

  if (namesTarget(node.data, request)) throw byOthers(context, node)
  throw moved(context, `version ${node.version} instead of ${state.nodeVersion}, and it names ${node.data.clusterName}`)
}

function byOthers({request, state}: MigrationContext, {path}: NodeRecord): MigratorError {
  return new MigratorError(
    'switch.by_others',
    `somebody else switched ${path} to ${request.targetCluster} while ${request.table} was being cut over`,
    {facts: {path, versionBefore: state.nodeVersion}},
  )
}

function moved({request}: MigrationContext, how: string): MigratorError {
  return new MigratorError(
    'switch.node_moved',
    `somebody else wrote the node of ${request.table} while it was being cut over: ${how}`,
    {
      next: 'Find out who did. Writes are allowed on the source; the same command goes on from there.',
    },
  )
}

/**
 * Whether everything that the source had accepted was on the target before anybody else can have switched the node: only then no
 * write that a client made there was overwritten.
 */
export function wasDrainedBeforeSwitch({state}: MigrationContext): boolean {
  const {nodeOursAtMs, switchSent, window} = state
  if (switchSent) return true
  return window.drainedAtMs !== undefined && nodeOursAtMs !== undefined && nodeOursAtMs >= window.drainedAtMs
}

/** What the operator must know, and nobody can tell: which rows. */
export function perhapsOverwritten({clock, request, state}: MigrationContext): MigratorError {
  const {drainedAtMs, setAtMs} = state.window
  const {nodeOursAtMs = setAtMs ?? clock.wallMs()} = state
  const time = (ms: number) => new Date(ms).toISOString()
  const {table, targetCluster} = request
  return new MigratorError(
    'switch.by_others',
    `somebody else switched ${table} to ${targetCluster} after ${time(nodeOursAtMs)}, before everything that the source had accepted was there: of rows that clients wrote to ${targetCluster} since then, those that were written on the source shortly before ${time(setAtMs ?? nodeOursAtMs)} may hold the older value`,
    {
      facts: {deniedSince: setAtMs, drainedAt: drainedAtMs, nodeSourceUntil: nodeOursAtMs},
      next: `${targetCluster} serves, the source refuses everyone and nothing ships any more. Find out who switched it, and have the applications look at what they wrote in that time. The same command finishes what is left.`,
    },
  )
}
