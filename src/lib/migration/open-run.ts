import {setMaxListeners} from 'node:events'
import {isDeepStrictEqual} from 'node:util'

import {openZooKeeper} from '../metaproxy/open.js'
import {PegasusClient} from '../pegasus/client.js'
import {factsOf, freshState, type MigrationContext} from './context.js'
import {JournaledEffects} from './effects-journaled.js'
import {LiveEffects} from './effects-live.js'
import {RecordingEffects} from './effects-recording.js'
import type {Effects} from './effects.js'
import type {UnstampedEvent} from './events.js'
import {HoldDesk} from './hold-desk.js'
import {noteWindow} from './hold-notes.js'
import type {MigrateHooks, MigrationWorld} from './index.js'
import {hintsOf, Journal, type JournalHints, journalPath, type JournalRecord, readJournal} from './journal.js'
import {acquireLock, type MigrationLock} from './lock.js'
import type {MigrationRequest} from './request.js'
import type {ResultBuilder} from './result-builder.js'
import {ticksFrom} from './tick-phases.js'
import {shellQuote} from '../shell-quote.js'

/** Everything that a run opens, and gives back at its end. */
export interface OpenRun {
  /**
   * Takes the lock; from then on it is checked before each effect (I6).
   * @returns `goneOn`: whether another command wrote into the journal since it was read here; its hints are the new ones then
   */
  acquireLock(): Promise<{goneOn: boolean}>
  close(): Promise<void>
  context: MigrationContext
  /** Of the lock that is held. */
  lockToken(): string | undefined
  /** What earlier runs wrote into the journal; read again with the lock. */
  past: readonly JournalRecord[]
}

export interface OpenRunOptions {
  builder: ResultBuilder
  dryRun: boolean
  hooks: MigrateHooks
  request: MigrationRequest
  signal: AbortSignal
  world: MigrationWorld
}

/** Opens connections, store and journal. @throws MigratorError `journal.*`; nothing stays open then */
export async function openRun(options: OpenRunOptions): Promise<OpenRun> {
  const {builder, dryRun, hooks, request, signal, world} = options
  const {calmMs, clock, files, journalDirectory, processes, random, resolve, transport} = world
  const forward = new AbortController()
  // Hundreds of calls may be under way on one signal; each takes its listener away again.
  setMaxListeners(0, signal, forward.signal)
  const emit = (event: UnstampedEvent) => {
    const stamped = {...event, atMs: clock.wallMs()}
    builder.hear(stamped)
    hooks.emit(stamped)
  }

  const where = [journalDirectory, request.table, request.targetCluster] as const
  const runId = random().toString(36).slice(2, 10)
  // A dry run leaves no trace, not even a journal.
  const journal = dryRun ? undefined : await Journal.open(...where, clock, runId, files)
  let past = journal?.past ?? (await readJournal(journalPath(...where), files))

  const client = new PegasusClient({
    ...(calmMs === undefined ? {} : {calmMs}),
    clock,
    random,
    ...(resolve ? {resolve} : {}),
    transport,
  })
  const store = request.metaproxy && (world.openStore ?? openZooKeeper)(request.metaproxy, clock)
  const source = client.cluster(request.sourceMetas)
  const target = client.cluster(request.targetMetas)
  const lock = new LaterLock()
  const carriedOut = new LiveEffects({clock, lock, source, store, table: request.table, target})
  const live = world.wrapEffects?.(carriedOut) ?? carriedOut
  const effects: Effects = journal
    ? new JournaledEffects(live, journal, request.table, emit, lock)
    : new RecordingEffects(request.table, emit)
  const hints = hintsOf(past)
  const context: MigrationContext = {
    askMoved: (bound) => hooks.askMoved(bound),
    client,
    clock,
    dryRun,
    effects,
    emit,
    forward: forward.signal,
    ...(request.hold && !dryRun
      ? {
          holdDesk: new HoldDesk({
            clock,
            directory: journalDirectory,
            ...(files ? {files} : {}),
            ...(request.hold.file === undefined ? {} : {holdFile: request.hold.file}),
            ...(hooks.releaseKey ? {key: hooks.releaseKey} : {}),
            ...(processes ? {processes} : {}),
            table: request.table,
            targetCluster: request.targetCluster,
          }),
        }
      : {}),
    hints,
    journal,
    noteWindow: (wait) =>
      noteWindow(
        {
          directory: journalDirectory,
          ...(files ? {files} : {}),
          ...(processes ? {processes} : {}),
          table: request.table,
          targetCluster: request.targetCluster,
        },
        wait,
      ),
    ...(world.operatorHooks ? {operatorHooks: world.operatorHooks} : {}),
    random,
    request,
    signal,
    source,
    state: {...freshState(), ...(hints.ticks ? {ticks: ticksFrom(hints.ticks, clock)} : {})},
    store,
    target,
  }
  return {
    async acquireLock() {
      lock.held = await acquireLock(
        {
          clock,
          command: world.command ?? `table:migrate -t ${shellQuote(request.table)}`,
          directory: journalDirectory,
          emit,
          ...(files ? {files} : {}),
          ...(request.metaproxy ? {metaproxy: request.metaproxy} : {}),
          ...(world.openLocks ? {openLocks: world.openLocks} : {}),
          ...(processes ? {processes} : {}),
          sourceCluster: factsOf(context).source.info.clusterName,
          table: request.table,
        },
        signal,
      )
      if (!journal) return {goneOn: false}
      // Whoever held it until now may have gone on, and denied writes, since the journal was read here.
      const before = hintsOf(past)
      past = await readJournal(journal.path, files)
      const now = hintsOf(past)
      const goneOn = !isDeepStrictEqual(now, before)
      replaceHints(hints, now)
      return {goneOn}
    },
    async close() {
      await lock.release()
      await Promise.all([client.close(), store?.close(), journal?.close()])
    },
    context,
    lockToken: () => lock.token,
    get past() {
      return past
    },
  }
}

/** In place: every context of the run has them. */
function replaceHints(hints: JournalHints, now: JournalHints): void {
  // Whose answer was lost was found by Preflight, and stands in no journal.
  if (now.adding) now.dupid ??= hints.dupid
  for (const key of Object.keys(hints)) if (!(key in now)) Reflect.deleteProperty(hints, key)
  Object.assign(hints, now)
}

/** The effects are made before there is a lock; they reach it through this. */
class LaterLock implements MigrationLock {
  held: MigrationLock | undefined

  get token(): string | undefined {
    return this.held?.token
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.held?.check(signal)
  }

  async regain(signal: AbortSignal): Promise<void> {
    await this.held?.regain(signal)
  }

  async release(): Promise<void> {
    await this.held?.release()
  }

  versionCheck() {
    return this.held?.versionCheck()
  }
}
