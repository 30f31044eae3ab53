import {diskFiles} from '../../files.js'
import {machineProcesses} from '../../processes.js'
import {PegasusClient} from '../../pegasus/client.js'
import type {Cluster} from '../../pegasus/cluster.js'
import {JournaledEffects} from '../effects-journaled.js'
import {DENY_ENV, LiveEffects} from '../effects-live.js'
import type {UnstampedEvent} from '../events.js'
import {GuardChannel} from '../guard/channel.js'
import {sendGuardAway} from '../guard/handle.js'
import {Journal} from '../journal.js'
import {acquireLock, type MigrationLock} from '../lock.js'
import {insist} from '../mend.js'
import type {MetaproxyLocation} from '../request.js'
import {observe, type Observed} from './observe.js'
import {QUICK_MS} from './read.js'
import type {RollbackRequest} from './request.js'
import type {RollbackView} from './view.js'
import {noJournal, openZooKeeper, type RollbackWorld} from './world.js'

/** Everything that a rollback opens, and gives back at its end: connections, ZooKeeper, the lock, the journal. */
export class Opened {
  readonly client: PegasusClient
  journal: Journal | undefined
  private lock: MigrationLock | undefined
  private stores: Observed['store'][] = []

  /** @param hear events of what rollback shares with a migration */
  constructor(
    private readonly request: RollbackRequest,
    private readonly world: RollbackWorld,
    private readonly signal: AbortSignal,
    private readonly hear: (event: UnstampedEvent) => void,
  ) {
    this.client = new PegasusClient({clock: world.clock, random: world.random, transport: world.transport})
  }

  async close(): Promise<void> {
    await this.lock?.release()
    await Promise.all([this.client.close(), ...this.stores.map((store) => store?.close()), this.journal?.close()])
  }

  async look(): Promise<Observed> {
    const {client, request, signal, world} = this
    const observed = await observe({
      client,
      emit: this.hear,
      files: world.files ?? diskFiles,
      journalDirectory: world.journalDirectory,
      openStore: (place) => {
        const location = this.locationOf(place)
        const store = world.openStore?.(location, world.clock) ?? openZooKeeper(location, world.clock)
        this.stores.push(store)
        return store
      },
      request,
      signal,
    })
    return observed
  }

  /** The deny of the source by now. @throws MigratorError when that cannot be read soon */
  async denyNow(): Promise<string | undefined> {
    const source = this.client.cluster(this.request.sourceMetas)
    const limits = {patienceMs: QUICK_MS, signal: this.signal, timeoutMs: QUICK_MS}
    return (await source.table(this.request.table, limits))?.envs.get(DENY_ENV)
  }

  async takeLock({metaproxy, view}: Observed): Promise<void> {
    const {clock, command, files, journalDirectory, openLocks, processes} = this.world
    const {limitMs, table} = this.request
    const mending = {clock, emit: this.hear, request: {table, targetCluster: ''}}
    this.lock = await insist(mending, {limitMs, signal: this.signal}, 'taking the lock', () =>
      acquireLock(
        {
          clock,
          command: command ?? 'table:migrate-rollback',
          directory: journalDirectory,
          emit: this.hear,
          ...(metaproxy ? {metaproxy: this.locationOf(metaproxy)} : {}),
          ...(files ? {files} : {}),
          ...(openLocks ? {openLocks} : {}),
          ...(processes ? {processes} : {}),
          sourceCluster: view.source.cluster,
          table,
        },
        this.signal,
      ),
    )
  }

  /** Journal, and effects that are carried out. */
  async arm(observed: Observed): Promise<JournaledEffects> {
    const {view} = observed
    const {table} = this.request
    if (view.target) await this.openJournal(observed, view.target)
    const live = new LiveEffects({
      clock: this.world.clock,
      lock: this.lock,
      source: this.client.cluster(this.request.sourceMetas),
      store: observed.store,
      table,
      target: this.targetOf(view),
    })
    const carried = this.world.wrapEffects?.(live) ?? live
    return new JournaledEffects(carried, this.journal ?? noJournal, table, this.hear, this.lock)
  }

  targetOf({target}: RollbackView): Cluster | undefined {
    return target && target.metas.length > 0 ? this.client.cluster(target.metas) : undefined
  }

  async sendGuardAway({target}: RollbackView): Promise<void> {
    const {clock, files, journalDirectory, processes = machineProcesses} = this.world
    if (!target) return
    await sendGuardAway(new GuardChannel(journalDirectory, this.request.table, target.cluster, files), clock, processes)
  }

  private async openJournal({metaproxy, view}: Observed, target: {cluster: string; metas: string[]}): Promise<void> {
    const {clock, files, journalDirectory, random} = this.world
    const {sourceMetas, table} = this.request
    const run = random().toString(36).slice(2, 10)
    this.journal = await Journal.open(journalDirectory, table, target.cluster, clock, run, files)
    await this.journal.write({
      denyMode: 'reconfig',
      kind: 'begin',
      ...(metaproxy ? {metaproxyHosts: metaproxy.hosts, root: metaproxy.root} : {}),
      sourceCluster: view.source.cluster,
      sourceMetas,
      table,
      targetCluster: target.cluster,
      targetMetas: target.metas,
      version: 1,
    })
  }

  private locationOf(place: {hosts: string; root: string}): MetaproxyLocation {
    const {zooKeeperAuth} = this.request
    return {...place, ...(zooKeeperAuth === undefined ? {} : {auth: zooKeeperAuth})}
  }
}
