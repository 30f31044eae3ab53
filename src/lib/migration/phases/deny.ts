import {sleep} from '../../clock.js'
import {MigratorError} from '../../errors.js'
import {queryProxy} from '../../metaproxy/proxy.js'
import {shellQuote} from '../../shell-quote.js'
import {factsOf, type MigrationContext, type Phase} from '../context.js'
import {doubtServers} from '../doubt.js'
import {DENY_ENV} from '../effects-live.js'
import {describeEnvDifference, envDifferences} from '../env-diff.js'
import type {Progress} from '../events.js'
import {waitForShortSync} from '../fast-cutover.js'
import {refuseForeignWrites} from '../foreign-writes.js'
import {namesOf} from '../preflight/clusters.js'
import {LATE_DENY_MS} from '../mend.js'
import {hookStep} from '../operator-hooks/calls.js'
import {proveEverywhere, type Wanted} from '../proof/deny.js'
import {readPrimaries} from '../proof/primaries.js'
import {listed} from '../proof/shipping.js'
import {keepOrder} from '../settings.js'
import {momentToDeny, rememberTicks, waitForMoment} from '../tick-phases.js'
import {timersOf} from '../timers.js'
import {requireFitTarget} from '../target-health.js'
import {patiently} from '../wait.js'
import {requireLog} from './catch-up.js'
import {waitUntilReady} from './readiness.js'
import {hold, requireOpenWindow} from './hold.js'
import {warnOfSharedNumber} from './shared-number.js'

const PROOF_MARGIN_MS = 15_000
/** A deny that took longer was sent again, and the first one may take place yet. */
const SLOW_ANSWER_MS = 1000
const PROXY_TIMEOUT_MS = 2000
const TARGET_PROBE_LIMIT_MS = 10_000

/** Denies client writes on the source and proves it on every primary. From here on an undo must take it back. */
export const deny: Phase = {
  id: 'deny',
  async observe() {
    return {done: false}
  },
  steps: [
    {act: warnOfSharedNumber, title: "look for the copy's table number on the source"},
    hold,
    hookStep('before-deny'),
    // Mostly at once: Catch up has waited for both.
    {title: 'see that every server hears of envs within a second', wait: waitForShortSync},
    {title: 'see that the cutover fits', wait: waitUntilReady},
    {title: "wait for the servers' syncs to lie close together", wait: waitForBestMoment},
    // Immediately before the deny: set any earlier it would be copied to the target (product.md, lesson 1).
    {act: checkReadiness, title: 'look once more at the duplication, the target and the node'},
    {act: setDeny, title: 'deny writes', wait: proveDenied},
  ],
  summarize({state}) {
    return `every primary refuses writes; spread ${((state.denySpreadMs ?? 0) / 1000).toFixed(1)} s`
  },
}

/** Where the interval cannot be shortened the moment decides how far apart the servers hear of the deny. */
async function waitForBestMoment(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {request, signal, source, state} = context
  state.moment = await patiently(context, async () => {
    const {primaries} = await readPrimaries(source, request.table, signal)
    return momentToDeny(context, primaries)
  })
  if (state.moment) await waitForMoment(context, state.moment, report)
}

async function checkReadiness(context: MigrationContext): Promise<void> {
  if (context.dryRun) return
  // The last looks must be fresh, and the window comes right behind them.
  context.client.gate.manner = 'singly'
  requireOpenWindow(context)
  await requireLog(context)
  await refuseNewDuplications(context)
  await requireOrder(context)
  await requireFitTarget(context)
  await compareEnvs(context)
  await refuseForeignWrites(context)
  await requireWritableTarget(context)
  await openProxies(context)
  // The session with ZooKeeper stays open until the switch.
  context.store?.keepSession(true)
  if (context.store) await requireSourceNode(context)
}

/** So that no connection must be made while writes are denied; whether they answer was judged by Preflight. */
async function openProxies({client, request, signal}: MigrationContext): Promise<void> {
  const limits = {signal, timeoutMs: PROXY_TIMEOUT_MS}
  await Promise.allSettled(request.proxies.map((proxy) => queryProxy(client.pool, proxy, request.table, limits)))
  signal.throwIfAborted()
}

/** They drift after the target was made; told, because only a person knows which side is right. */
async function compareEnvs(context: MigrationContext): Promise<void> {
  const {request, signal, source, state, target} = context
  const [here, there] = await Promise.all([source, target].map((side) => side.table(request.table, {signal})))
  if (!here || !there) return
  const before = JSON.stringify(state.envDifferences)
  state.envDifferences = envDifferences(here.envs, there.envs)
  if (state.envDifferences.length === 0 || JSON.stringify(state.envDifferences) === before) return
  const message = `settings of ${request.table} are not the same on both sides: ${state.envDifferences.map((one) => describeEnvDifference(one)).join('; ')}`
  context.emit({code: 'envs.differ', message, type: 'warning'})
}

/** After the switch those clusters get nothing new: an operator was asked about those that Preflight saw, and about no other. */
async function refuseNewDuplications(context: MigrationContext): Promise<void> {
  const {request, signal, source, state} = context
  const judged = new Set([state.dupid, ...factsOf(context).source.duplications.map(({dupid}) => dupid)])
  const fresh = (await source.duplications(request.table, {signal})).filter(({dupid}) => !judged.has(dupid))
  if (fresh.length === 0) return
  const which = fresh.map(({dupid, remote}) => `${dupid} to ${remote}`).join(', ')
  throw new MigratorError(
    'duplicate.others',
    `somebody has begun to duplicate ${request.table} to other clusters meanwhile (${which}): after the switch they would get nothing new`,
    {next: 'Nothing was denied. Find out who did; the same command goes on from here, and asks about them.'},
  )
}

/** Whatever was shipped in batches since the rows were compared may be out of order. */
async function requireOrder(context: MigrationContext): Promise<void> {
  const {request, state} = context
  await patiently(context, () => keepOrder(context))
  await patiently(context, () => doubtServers(context))
  if (state.compareAgain !== undefined) {
    const which = listed('partition', state.compareAgain)
    throw new MigratorError(
      'shipping.moved',
      `new primary of ${which} of ${request.table} on the source since rows were compared: all rows there must be compared`,
      {next: 'Nothing was denied. The same command goes on from here and compares the rows.'},
    )
  }

  if (state.fullVerifyBecause === undefined) return
  throw new MigratorError(
    'batching.returned',
    `${state.fullVerifyBecause}: all rows of ${request.table} must be compared`,
    {
      next: 'Nothing was denied. The same command goes on from here and compares all rows.',
    },
  )
}

/** Clients will write there in a moment: every target primary must accept a (failing, storeless) atomic write now. */
async function requireWritableTarget(context: MigrationContext): Promise<void> {
  const {client, clock, request, signal, state, target} = context
  await proveEverywhere({
    clock,
    cluster: target,
    limitMs: TARGET_PROBE_LIMIT_MS,
    pool: client.pool,
    signal,
    table: request.table,
    wanted: 'writable',
  })
  state.targetAppId ??= (await target.table(request.table, {signal}))?.appId
}

/** The node must still name the source: its version now is what the switch compares with. */
async function requireSourceNode(context: MigrationContext): Promise<void> {
  const node = await context.store!.read(context.request.table, context.signal)
  const source = namesOf(context.state.facts!.source)
  if (!source.includes(node.data.clusterName)) {
    throw new MigratorError(
      'switch.node_moved',
      `${node.path} names ${node.data.clusterName}, not the source ${source.join(' or ')}: somebody changed it`,
      {
        next: 'Find out who did. Nothing was denied; once the node names the source again, the same command goes on from here.',
      },
    )
  }

  context.state.nodeVersion = node.version
  context.state.nodeBytes = node.bytes
}

async function setDeny(context: MigrationContext): Promise<void> {
  const {clock, effects, request, signal, source, state} = context
  const before = context.dryRun ? undefined : (await source.table(request.table, {signal}))?.envs.get(DENY_ENV)
  const value = `${request.denyMode}*write`
  if (before !== undefined && before !== value && before !== context.hints.deny) {
    throw new MigratorError(
      'deny.foreign',
      `the source's ${request.table} carries ${DENY_ENV}=${before}, set by somebody else`,
      {
        next: `Find out who did and why; nothing was denied by this run. When nobody needs it any more, pegasus table:migrate-rollback -t ${shellQuote(request.table)} --adopt takes it off, and the same command goes on from here.`,
      },
    )
  }

  await context.arm?.()
  await context.guard?.assertMine()
  const waitMs = (state.moment?.atMs ?? 0) - clock.nowMs()
  if (!context.dryRun && waitMs > 0) await sleep(clock, waitMs, signal)
  if (!context.dryRun) {
    // Known before it is sent: if the answer is lost the undo must still take it back.
    state.denySet = true
    state.denyUnanswered = true
    state.window.setAtMs = clock.wallMs()
  }

  const sentAtMs = clock.nowMs()
  await effects.perform({before: null, kind: 'deny', value}, signal)
  // Answered at once it was sent once.
  state.denyUnanswered = clock.nowMs() - sentAtMs > SLOW_ANSWER_MS
  if (state.denyUnanswered) state.denyLateUntilMs = clock.nowMs() + LATE_DENY_MS
}

async function proveDenied(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {state} = context
  const proof = await proveDeny(context, report)
  // For another attempt, if there must be one: nobody waits for it while writes are denied.
  if (state.startTimes) void rememberTicks(context, proof.changes, state.startTimes)
  state.denied = proof.primaries
  state.denySpreadMs = proof.spreadMs
  state.window.firstRefusedAtMs = proof.firstAtMs
  state.window.lastRefusedAtMs = proof.lastAtMs
  state.window.provedAtMs = context.clock.wallMs()
}

/** How long the proof of a deny may take, ms. */
export function denyLimitMs({request, state}: MigrationContext): number {
  return request.limits.denyMs ?? timersOf(state).configSyncMs + PROOF_MARGIN_MS
}

/** Proves the deny on every primary as it is now; also after a primary moved. */
export function proveDeny(context: MigrationContext, report: (progress: Progress) => void) {
  const {client, clock, request, signal, source, state} = context
  const wanted: Wanted = request.denyMode === 'timeout' ? 'timeout-write' : 'reconfig-write'
  return proveEverywhere({
    clock,
    cluster: source,
    limitMs: denyLimitMs(context),
    onProgress: ({last, partitionCount, proved}) =>
      report({
        deniedForMs: clock.wallMs() - (state.window.setAtMs ?? clock.wallMs()),
        partitionCount,
        partitionsDone: proved,
        text: `${last} refuses writes`,
      }),
    pool: client.pool,
    signal,
    table: request.table,
    wanted,
  })
}
