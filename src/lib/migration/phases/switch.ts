import {isMigratorError, MigratorError} from '../../errors.js'
import {formatNodeData} from '../../metaproxy/node-data.js'
import {queryProxy} from '../../metaproxy/proxy.js'
import {plural} from '../../plural.js'
import {factsOf, type MigrationContext, type Phase} from '../context.js'
import {DENY_ENV} from '../effects-live.js'
import type {Progress} from '../events.js'
import {insist} from '../mend.js'
import {lookAtOwnNode} from '../node-watch.js'
import {proveEverywhere} from '../proof/deny.js'
import {hookStep} from '../operator-hooks/calls.js'
import {readPrimaries} from '../proof/primaries.js'
import {readFailedBefore} from '../remaining-clients.js'
import {timersOf} from '../timers.js'
import {requireFitTarget} from '../target-health.js'
import {waitUntil} from '../wait.js'

/** What the source keeps: it refuses everyone. */
export const CLOSED = 'reconfig*all'
const PROXY_POLL_MS = 100
/** So long what the drain saw of the deny counts at the switch. */
const DENY_FRESH_MS = 1000

/** Errors after which the node was surely not written, and will not be. */
const notSent = [
  'journal.write_failed',
  'metaproxy.bad_node',
  'zk.auth_failed',
  'zk.check_failed',
  'zk.no_node',
  'zk.timeout',
  'zk.unreachable',
]

/** Hands the table over: the node (or the operator's word) is the commit point; after it there is only forward. */
export const switchOver: Phase = {
  id: 'switch',
  async observe() {
    return {done: false}
  },
  steps: [
    hookStep('before-switch'),
    {act: commit, title: 'hand the table over to the target', wait: confirmProxies},
    {act: closeSource, title: 'send remaining clients of the source away', wait: proveClosed},
  ],
  summarize({request, state}) {
    const windowMs = state.window.windowMs ?? 0
    return `${request.targetCluster} serves; writes were denied for ${(windowMs / 1000).toFixed(1)} s`
  },
}

async function commit(context: MigrationContext): Promise<void> {
  if (context.state.commit === 'done') return
  if (!context.dryRun) await requireFitTarget(context)
  await (context.store ? switchNode(context) : askOperator(context))
}

async function switchNode(context: MigrationContext): Promise<void> {
  const {clock, effects, request, signal, state} = context
  const facts = factsOf(context)
  const node = facts.metaproxy?.node
  const bytes = formatNodeData(request.targetCluster, request.targetMetas)
  // From here on nothing ships: whoever else switches it after this look overwrites nothing.
  if (!context.dryRun) await Promise.all([lookAtOwnNode(context, signal), requireDenyAgain(context)])
  await context.guard?.assertMine()
  state.commit = 'uncertain'
  state.switchSent = true
  try {
    const {nodeVersion} = await effects.perform(
      {
        before: (state.nodeBytes ?? node?.bytes ?? Buffer.alloc(0)).toString('utf8'),
        beforeVersion: state.nodeVersion ?? node?.version ?? 0,
        bytes: bytes.toString('utf8'),
        kind: 'switch-node',
        path: node?.path ?? `${request.metaproxy!.root}/${request.table}`,
      },
      signal,
    )
    if (context.dryRun) {
      state.commit = 'none'
      state.switchSent = false
      return
    }

    state.commit = 'done'
    state.window.switchedAtMs = clock.wallMs()
    if (nodeVersion !== undefined) state.nodeVersion = nodeVersion
  } catch (error) {
    // Anything else (an abort, a lost answer, another writer) leaves a doubt that only a look at the node can end.
    if (isMigratorError(error, ...notSent)) {
      state.commit = 'none'
      state.switchSent = false
    }

    throw error
  }
}

/** Without a node the operator's word is the commit point (product.md, Switch). */
async function askOperator(context: MigrationContext): Promise<void> {
  const {request, signal, state} = context
  if (context.dryRun) return
  if (request.afterDrain === 'keep') {
    await giveWord(context)
    state.handedOver = true
    return
  }

  const answer = request.afterDrain === 'lift' ? 'abort' : await context.askMoved(signal)
  signal.throwIfAborted()
  if (answer === 'abort') {
    throw new MigratorError(
      'switch.not_moved',
      `${request.table} is drained, and the applications stay on the source`,
      {
        next: 'Writes are allowed again on the source; the duplication is kept. The same command goes on from here.',
      },
    )
  }

  await giveWord(context)
}

/** Written down before anything follows from it: a later run must know that applications may have moved. */
async function giveWord(context: MigrationContext): Promise<void> {
  const {clock, guard, journal, state} = context
  await requireDeny(context)
  await guard?.claimWord()
  await journal?.write({kind: 'word'})
  state.commit = 'done'
  state.window.switchedAtMs = clock.wallMs()
}

/** Pausing, a hook of the operator's and the look at the target take their time where something does not answer. */
async function requireDenyAgain(context: MigrationContext): Promise<void> {
  const {clock, state} = context
  if (state.denySeenAtMs === undefined || clock.nowMs() - state.denySeenAtMs > DENY_FRESH_MS) await requireDeny(context)
}

/** The operator may have thought for a while: whoever took the deny back meanwhile let writes in that are not on the target. */
async function requireDeny({request, signal, source}: MigrationContext): Promise<void> {
  const table = await source.table(request.table, {signal})
  if (table?.envs.get(DENY_ENV) === `${request.denyMode}*write`) return
  throw new MigratorError(
    'deny.taken_back',
    `somebody took the write-deny off ${request.table} before the table was handed over: what was written since is not on the target`,
    {next: 'Writes are allowed on the source; leave the applications there. The same command goes on from here.'},
  )
}

/** From here on the run's signal no longer stops anything that makes the hand-over whole: only forward. */
async function confirmProxies(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {client, clock, request, state, target} = context
  if (!context.store || request.proxies.length === 0) {
    finishWindow(context)
    if (context.store)
      warn(context, 'switch.unconfirmed', 'no --proxy was given: nobody confirmed that clients are sent to the target')
    return
  }

  const forward = context.forward
  const waiting = new Set(request.proxies)
  const seen = new Map<string, string>()
  try {
    await waitUntil<number>({
      clock,
      describe: () => [...waiting].map((proxy) => `${proxy} ${seen.get(proxy) ?? 'does not answer'}`).join('; '),
      done: (left) => left === 0,
      intervalMs: PROXY_POLL_MS,
      limitMs: request.limits.switchMs,
      async observe() {
        // Looked at each time: a primary of the target that moves now must not end what can only go forward.
        const {configuration} = await readPrimaries(target, request.table, forward)
        await Promise.all(
          [...waiting].map(async (proxy) => {
            try {
              const answer = await queryProxy(client.pool, proxy, request.table, {signal: forward, timeoutMs: 2000})
              const wanted = new Set(configuration.partitions.map(({primary}) => primary))
              const names =
                answer.appId === configuration.appId && answer.primaries.every((primary) => wanted.has(primary))
              if (names) waiting.delete(proxy)
              else seen.set(proxy, `names table id ${answer.appId} at ${answer.primaries[0] ?? 'no server'}`)
            } catch (error) {
              if (!isMigratorError(error)) throw error
              seen.set(proxy, error.message)
            }
          }),
        )
        return waiting.size
      },
      onProgress: (left) =>
        report({
          text: `${request.proxies.length - left} of ${plural(request.proxies.length, 'metaproxy names', 'metaproxies name')} the target`,
        }),
      signal: forward,
      stage: 'confirmation by every --proxy',
    })
    state.window.confirmedAtMs = clock.wallMs()
  } catch (error) {
    if (!isMigratorError(error, 'wait.limit')) throw error
    // A metaproxy that lost its session stays stale for good (measured.md §8): the source must refuse its clients.
    warn(
      context,
      'switch.proxy_stale',
      `${error.message}. Restart ${[...waiting].join(', ')}: its clients are refused by the source until then`,
    )
    state.unconfirmedProxies = [...waiting]
  }

  finishWindow(context)
}

function finishWindow(context: MigrationContext): void {
  const {window} = context.state
  const endMs = window.confirmedAtMs ?? window.switchedAtMs
  const startMs = window.firstRefusedAtMs ?? window.setAtMs
  if (endMs !== undefined && startMs !== undefined) window.windowMs = endMs - startMs
}

/** Only forward: clients whose writes went unanswered learn of the target only when the source refuses them. */
export async function closeSource(context: MigrationContext): Promise<void> {
  const {dryRun, effects, forward, request, signal} = context
  const close = {before: `${request.denyMode}*write`, kind: 'close-source', value: CLOSED} as const
  if (dryRun) {
    await effects.perform(close, signal)
    return
  }

  const options = {limitMs: request.limits.switchMs, signal: forward}
  await insist(context, options, "sending the source's clients away", () => effects.perform(close, forward))
}

/** Proves that every primary of the source refuses reads and writes. */
export function proveSourceClosed(context: MigrationContext, report: (progress: Progress) => void) {
  const {client, clock, forward, request, source, state} = context
  return proveEverywhere({
    clock,
    cluster: source,
    limitMs: 2 * timersOf(state).configSyncMs + 30_000,
    onProgress: ({last, partitionCount, proved}) =>
      report({partitionCount, partitionsDone: proved, text: `${last} refuses reads and writes`}),
    pool: client.pool,
    signal: forward,
    table: request.table,
    wanted: 'reconfig-all',
  })
}

async function proveClosed(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {clock, request, state} = context
  const proof = await proveSourceClosed(context, report)
  state.window.closedFirstAtMs = proof.firstAtMs
  state.window.closedSeenAtMs = proof.lastAtMs
  state.window.sourceClosedAtMs = clock.wallMs()
  // Nobody waits for it here: it is looked at when everything else is finished.
  state.failedBefore = readFailedBefore(context)
  state.failedBefore.catch(() => {}) // thrown there
  // Clients whose writes went unanswered ask for the table again only now (measured.md §9).
  if (request.denyMode === 'timeout' && state.window.firstRefusedAtMs !== undefined) {
    state.window.windowMs = state.window.sourceClosedAtMs - state.window.firstRefusedAtMs
  }
}

function warn(context: MigrationContext, code: string, message: string): void {
  context.state.warnings.push(message)
  context.emit({code, message, type: 'warning'})
}
