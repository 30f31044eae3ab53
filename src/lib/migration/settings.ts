import {sleep} from '../clock.js'
import {messageOf, MigratorError} from '../errors.js'
import type {Cluster} from '../pegasus/cluster.js'
import {MetaFunctionLevel} from '../rpc/structs/cluster.js'
import type {MigrationContext} from './context.js'
import type {Effect, Side} from './effects.js'
import {LOWERED_SYNC_MS} from './preflight/prediction.js'
import {mayPass} from './wait.js'

/** Batches of more than one mutation are shipped out of order (product.md, lesson 13). */
export const BATCH_BYTES = 'duplicate_log_batch_bytes'
export const BATCH_BYTES_WANTED = '0'
/** How often a replica server asks the meta for envs: the spread of a deny and of its lift (measured.md §1, §2). */
export const SYNC_INTERVAL = 'config_sync_interval_ms'
/** What a migration sets on servers of the source, by name. */
export const ownValues: ReadonlyMap<string, string> = new Map([
  [BATCH_BYTES, BATCH_BYTES_WANTED],
  [SYNC_INTERVAL, String(LOWERED_SYNC_MS)],
])
const PUT_BACK_LIMIT_MS = 20_000
const PUT_BACK_RETRY_MS = 2000

type ServerConfigEffect = Extract<Effect, {kind: 'set-server-config'}>
type MetaLevelEffect = Extract<Effect, {kind: 'set-meta-level'}>

/** The part of a context that putting settings back needs. */
export type SettingsContext = Pick<MigrationContext, 'clock' | 'effects' | 'emit' | 'source'> & {
  hints: Pick<MigrationContext['hints'], 'settings'>
  state: Pick<MigrationContext['state'], 'settingsPutBack'>
  target: Cluster | undefined
}

/** Servers of the source that host a replica of the table at the moment. */
export async function hostingServers(context: MigrationContext, signal = context.signal): Promise<string[]> {
  const {partitions} = await context.source.configuration(context.request.table, {signal})
  const hosts = new Set(partitions.flatMap(({primary, secondaries}) => [primary, ...secondaries]))
  return [...hosts].filter((address) => address !== null).sort()
}

/**
 * Sets `duplicate_log_batch_bytes` to 0 on every source server that hosts the table and shows another value: at the
 * beginning, and again whenever a server restarted or a new one came in.
 * @returns the servers whose value had to be set
 */
export async function ensureNoBatching(
  context: MigrationContext,
  onFound: (servers: string[]) => void = () => {},
): Promise<string[]> {
  const values = await batchBytesOf(context, await hostingServers(context))
  const wrong = values.filter(({value}) => value !== BATCH_BYTES_WANTED)
  if (wrong.length > 0) onFound(wrong.map(({address}) => address))
  await onEach(wrong, async ({address, value}) => {
    const effect: ServerConfigEffect = {
      before: value ?? '',
      kind: 'set-server-config',
      name: BATCH_BYTES,
      server: address,
      side: 'source',
      value: BATCH_BYTES_WANTED,
    }
    rememberSetting(context, effect)
    await context.effects.perform(effect, context.signal)
  })
  return wrong.map(({address}) => address)
}

/** Those of the servers that ship in batches. */
export async function batchingServers(context: MigrationContext, servers: readonly string[]): Promise<string[]> {
  const values = await batchBytesOf(context, servers)
  return values.filter(({value}) => value !== BATCH_BYTES_WANTED).map(({address}) => address)
}

function batchBytesOf({signal, source}: MigrationContext, servers: readonly string[]) {
  return Promise.all(
    servers.map(async (address) => ({address, value: await source.server(address).config(BATCH_BYTES, {signal})})),
  )
}

/**
 * Sees to it that the order of overwrites is kept while the duplication ships. A server that restarted has shipped in
 * batches again: from then on only a full comparison can tell (product.md, lesson 13).
 * @returns the servers whose value had to be set
 */
export async function keepOrder(context: MigrationContext): Promise<string[]> {
  return ensureNoBatching(context, (servers) => {
    // Before it is set: where the answer is lost it is found set by whoever asks again.
    const reason = `${BATCH_BYTES} was not 0 on ${servers.join(', ')} for a while`
    context.state.fullVerifyBecause = reason
    context.emit({code: 'batching.returned', message: `${reason}; all rows will be compared`, type: 'warning'})
  })
}

/** Stops the source's balancer (protocol.md §3.7); a new meta leader forgets it, so it is looked at again and again. */
export async function ensureSteady(context: MigrationContext): Promise<void> {
  const level = await context.source.metaLevel({signal: context.signal})
  if (level !== MetaFunctionLevel.fl_lively) return
  const effect: MetaLevelEffect = {before: levelName(level), kind: 'set-meta-level', level: 'steady', side: 'source'}
  // Known before it is sent: if the answer is lost it must still be put back.
  rememberSetting(context, effect)
  await context.effects.perform(effect, context.signal)
}

/** `lively` for fl_lively. */
export function levelName(level: MetaFunctionLevel): string {
  return (MetaFunctionLevel[level] ?? String(level)).replace(/^fl_/, '')
}

/** Keeps what a setting was before our first change of it, so that it can be put back. */
export function rememberSetting(context: MigrationContext, effect: MetaLevelEffect | ServerConfigEffect): void {
  const known = context.hints.settings.some((other) => sameSetting(other, effect))
  if (!known) context.hints.settings.push(effect)
}

/** Whether both change the same thing. */
export function sameSetting(a: Effect, b: Effect): boolean {
  if (a.kind === 'set-server-config' && b.kind === 'set-server-config') {
    return a.side === b.side && a.server === b.server && a.name === b.name
  }

  return a.kind === 'set-meta-level' && b.kind === 'set-meta-level' && a.side === b.side
}

/**
 * Puts every setting back that this migration changed, this run's and earlier ones' (I5). A setting that cannot be
 * put back is told as a warning with what to do by hand; the others are put back all the same.
 * @returns those that somebody must still put back; what was set on a server that is down went with it
 */
export async function putSettingsBack(
  context: SettingsContext,
  signal: AbortSignal,
  selected: (effect: Effect) => boolean = () => true,
): Promise<Effect[]> {
  const wanted = context.hints.settings.filter((candidate) => selected(candidate))
  const byPlace = new Map<string, Effect[]>()
  for (const effect of wanted) {
    const place = effect.kind === 'set-server-config' ? `${effect.side} ${effect.server}` : effect.kind
    byPlace.set(place, [...(byPlace.get(place) ?? []), effect])
  }

  const back = new Set<Effect>()
  const open: Effect[] = []
  await onEach([...byPlace.values()], async (effects) => {
    for (const effect of effects) {
      const came = await putBackOrTell(context, effect, signal)
      if (came === 'back') back.add(effect)
      if (came === 'left') open.push(effect)
    }
  })
  context.state.settingsPutBack.push(
    ...wanted.filter((effect) => back.has(effect)).map((effect) => describeBack(effect)),
  )
  const left = context.hints.settings.filter((effect) => !back.has(effect))
  context.hints.settings.splice(0, context.hints.settings.length, ...left)
  return open
}

/** Every server at the same time, because each has a pace of its own. @throws the first failure, once all have ended */
export async function onEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const ended = await Promise.allSettled(items.map((item) => work(item)))
  const failed = ended.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}

/** @returns `gone`: its server is down, and lost it */
async function putBackOrTell(
  context: SettingsContext,
  effect: Effect,
  signal: AbortSignal,
): Promise<'back' | 'gone' | 'left'> {
  try {
    await putBackPatiently(context, effect, signal)
    return 'back'
  } catch (error) {
    signal.throwIfAborted()
    if (!mayPass(error)) throw error
    const isDown = await isKnownDown(context, effect, signal)
    const what = isDown
      ? `The meta says that ${isDown} is down: when it is started again it has what its configuration file says, and nothing is left to do. Only if it was cut off and comes back without a restart, run the same command again.`
      : 'Run the same command again, or set it by hand.'
    context.emit({
      code: 'setting.left',
      message: `${describeBack(effect)} could not be done: ${messageOf(error)}. ${what}`,
      type: 'warning',
    })
    return isDown ? 'gone' : 'left'
  }
}

/** What was set at run time is lost with the server. @returns its address */
async function isKnownDown(context: SettingsContext, effect: Effect, signal: AbortSignal): Promise<string | undefined> {
  if (effect.kind !== 'set-server-config') return undefined
  try {
    const nodes = await clusterOf(context, effect.side).nodes({signal})
    return nodes.find(({address}) => address === effect.server)?.alive === false ? effect.server : undefined
  } catch (error) {
    signal.throwIfAborted()
    if (!mayPass(error)) throw error
    return undefined
  }
}

/** Passing trouble is waited out for a while. */
async function putBackPatiently(context: SettingsContext, effect: Effect, signal: AbortSignal): Promise<void> {
  const untilMs = context.clock.nowMs() + PUT_BACK_LIMIT_MS
  for (;;) {
    try {
      const back = await backEffect(context, effect, signal)
      if (back) await context.effects.perform(back, signal)
      return
    } catch (error) {
      signal.throwIfAborted()
      if (!mayPass(error) || context.clock.nowMs() > untilMs) throw error
      await sleep(context.clock, PUT_BACK_RETRY_MS, signal)
    }
  }
}

/** The effect that puts a setting back, or undefined when it is as it was already. */
async function backEffect(context: SettingsContext, effect: Effect, signal: AbortSignal): Promise<Effect | undefined> {
  if (effect.kind === 'set-server-config') {
    const cluster = clusterOf(context, effect.side)
    const now = await cluster.server(effect.server).config(effect.name, {signal})
    if (now === effect.before || effect.before === '') return undefined
    return {...effect, before: now ?? '', value: effect.before}
  }

  if (effect.kind === 'set-meta-level') {
    const cluster = clusterOf(context, effect.side)
    const now = levelName(await cluster.metaLevel({signal}))
    return now === effect.before ? undefined : {...effect, before: now, level: effect.before}
  }

  return undefined
}

function clusterOf({source, target}: SettingsContext, side: Side): Cluster {
  const cluster = side === 'source' ? source : target
  if (!cluster) throw new MigratorError('observe.no_target', 'the target cluster is not known')
  return cluster
}

/** What putting a setting back comes to, in words. */
export function describeBack(effect: Effect): string {
  if (effect.kind === 'set-server-config') return `${effect.name} back to ${effect.before} on ${effect.server}`
  return effect.kind === 'set-meta-level' ? `meta level of the ${effect.side} back to ${effect.before}` : effect.kind
}
