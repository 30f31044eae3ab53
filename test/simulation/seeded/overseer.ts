import {parseNodeData} from '../../../src/lib/metaproxy/node-data.js'
import {encodeKey} from '../../../src/lib/pegasus/key-hash.js'
import type {Effect} from '../../../src/lib/migration/effects.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import type {Life} from '../life.js'
import {MAX_WRITE_DENY_MS, NODE, type Simulation, TABLE} from '../simulation.js'
import {hasLockFile, lockNotes, NewPrimaries, ownDeny, refusalsOf, writablePrimaries} from './sight.js'
import type {Trace} from './trace.js'

export type Meddling = 'deny' | 'drop' | 'lift' | 'pause' | 'remove' | 'resume' | 'skip' | 'target'

/** These may be done while nobody can tell who holds the lock: a deny must not last because ZooKeeper is away. */
const MENDING: ReadonlySet<string> = new Set([
  'close-source',
  'lift-deny',
  'lift-target',
  'pause-duplication',
  'resume-duplication',
  'take-commit-away',
])
/** Phases in which a migration has not denied anything yet. */
const PREPARING: ReadonlySet<string> = new Set(['duplicate', 'catch-up', 'verify'])
const SORT_KEY = Buffer.from('row')
const TICK_MS = 500
/** How old news the tool may act on where nothing on the servers can be compared and set: envs, duplications, tables. */
const BLIND_MS = 4000
/** A fault may hold up the lift of a deny for so long after it has passed. */
const AFTERMATH_MS = 75_000

/** What was found wrong, and when. */
export class Violation extends Error {
  constructor(
    readonly invariant: string,
    message: string,
  ) {
    super(`${invariant}: ${message}`)
  }
}

/** Looks all along at what must be true at every moment (I1 to I4, I6, I7), from what clients saw and servers hold. */
export class Overseer {
  /** The side that serves: as the node says, or, without a node, as the operator moved the applications. */
  serves: 'source' | 'target' = 'source'
  violation: Violation | undefined
  private deniedMs = 0
  /** Until when a fault excuses that writes are denied for long. */
  private excusedUntilMs = 0
  private faultsUnderWay = 0
  private readonly newPrimaries = new NewPrimaries()
  private readonly meddledAtMs = new Map<Meddling, number>()
  /** Since when the source carries the deny of a migration. */
  private ownDenySinceMs: number | undefined
  /** Where the source's primaries were when shipping was stopped, and when that was. */
  private paused: {atMs: number; ballots: number[]} | undefined
  private switchingSinceMs = 0
  /** Something that another operator did in a moment in which the tool cannot see it: what is lost is not its fault. */
  private ruined: string | undefined
  /** As servers hold them, by the application's names. */
  private readonly rows = new Map<string, Buffer>()
  private stopped = false

  constructor(
    private readonly simulation: Simulation,
    private readonly trace: Trace,
  ) {
    const {zookeeper} = simulation
    const before = zookeeper.onWrite
    zookeeper.onWrite = (write) => {
      before?.(write)
      if (write.path !== NODE) return
      trace.add(write.writer ?? 'by hand', `node: ${write.bytes.toString()}`)
      this.nodeWritten(write.bytes, write.writer === undefined)
    }

    this.tick()
  }

  stop(): void {
    this.stopped = true
  }

  /** While one is under way, and for a while after it, writes may be denied for longer than the bound. */
  faultBegan(): void {
    this.faultsUnderWay++
  }

  faultEnded(): void {
    this.faultsUnderWay--
    this.excusedUntilMs = this.simulation.clock.nowMs() + AFTERMATH_MS
  }

  meddled(what: Meddling): void {
    this.meddledAtMs.set(what, this.simulation.clock.nowMs())
    // What was switched already can be ruined by hand at any time.
    if (this.serves === 'target' && (what === 'resume' || what === 'lift' || what === 'deny'))
      this.ruined ??= `${what} by hand after the switch`
  }

  hasMeddled(...what: Meddling[]): boolean {
    return what.some((one) => this.meddledAtMs.has(one))
  }

  /** Somebody is about to write the node past the tool: what is lost by that is his. */
  switchedByHand(): void {
    this.ruined ??= 'switched by hand'
  }

  get hasAnybodyMeddled(): boolean {
    return this.meddledAtMs.size > 0
  }

  /** Without a node nobody but the operator knows which side serves, once he has opened the source again by hand. */
  get isUnknowable(): boolean {
    return this.ruined !== undefined && !this.simulation.hasRoot
  }

  /** The applications were moved by hand, on the tool's word. */
  moved(): void {
    if (this.serves === 'target') return
    this.switched()
  }

  fail(invariant: string, message: string): void {
    if (this.violation) return
    this.violation = new Violation(invariant, message)
    this.trace.add('VIOLATION', this.violation.message)
  }

  /** A migration prepares, or does so again, while writes are allowed: whatever was denied before was taken back (I7). */
  phaseBegins(phase: string, life: Life): void {
    // The target is looked at once more after this.
    if (phase === 'switch') this.switchingSinceMs = this.simulation.clock.nowMs()
    // One that was stopped meanwhile does not know yet that the table is another one's.
    if (this.otherHolder(life) !== undefined) return
    if (!PREPARING.has(phase) || this.serves === 'target' || this.ownDenySinceMs === undefined) return
    const deniedMs = this.simulation.clock.nowMs() - this.ownDenySinceMs
    if (deniedMs > BLIND_MS && ownDeny(this.simulation.source) !== undefined)
      this.fail(
        'I7',
        `${phase} begins while the source carries ${ownDeny(this.simulation.source)}, for ${deniedMs / 1000} s by now`,
      )
  }

  /** The tool looks at the primaries once more after this; what happens to them later it cannot see. */
  pausedShipping(): void {
    const table = this.simulation.source.state.tableNamed(TABLE)
    const ballots = table?.memberships.map(({ballot}) => ballot) ?? []
    this.paused = {atMs: this.simulation.clock.nowMs(), ballots}
  }

  /** An effect is about to be sent: by whoever holds the lock (I6), and in the right order (I5). */
  effectBegins(effect: Effect, life: Life, isGuard: boolean): void {
    if (!isGuard && !MENDING.has(effect.kind)) this.requireLock(effect, life)
    if (effect.kind !== 'set-server-config' || effect.side !== 'source') return
    const {source} = this.simulation
    const {flags} = source.spec
    const isLong = effect.name === 'config_sync_interval_ms' && Number(effect.value) === flags.config_sync_interval_ms
    if (isLong && this.serves === 'source') {
      const refused = this.refusals('source').filter((text) => text.includes('*write'))
      // Envs must reach the servers soon until the deny is proved to be gone.
      if (refused.length > 0 && !this.hasMeddled('deny', 'lift'))
        this.fail('order', `the long config sync is put back while ${refused.join('; ')}`)
    }

    if (effect.name === 'duplicate_log_batch_bytes' && effect.value !== '0') {
      const {appId, duplicating} = source.table(TABLE).info
      const ships = source.state.duplications.of(appId).some(({status}) => status === DuplicationStatus.DS_LOG)
      if (duplicating && ships) this.fail('order', 'shipping in batches is put back while the duplication ships')
    }
  }

  private requireLock(effect: Effect, life: Life): void {
    const mine = `${life.machine.name} ${life.pid}`
    const other = this.otherHolder(life)
    if (other) this.fail('I6', `${mine} begins ${effect.kind} while ${other} holds the lock`)
    else if (!hasLockFile(this.simulation, life)) this.fail('I6', `${mine} begins ${effect.kind} without a lock`)
  }

  private otherHolder(life: Life): string | undefined {
    return lockNotes(this.simulation, life).find((name) => name !== `${life.machine.name} ${life.pid}`)
  }

  /** Reads every key that was ever written on the side that serves. */
  look(): void {
    const {load} = this.simulation
    if (!load || this.ruined !== undefined) return
    const table = this.simulation[this.serves].state.tableNamed(TABLE)
    if (!table) return
    const {partitions} = this.simulation[this.serves].table(TABLE)
    for (const key of load.ledger.touched) {
      let row = this.rows.get(key)
      if (!row) this.rows.set(key, (row = encodeKey(Buffer.from(key), SORT_KEY)))
      const found = partitions
        .map(({rows}) => rows.get(row))
        .find((one) => one !== undefined)
        ?.value.toString()
      const acceptable = load.ledger.acceptable(key)
      if (acceptable.includes(found)) continue
      const short = (value: string | undefined) => (value === undefined ? 'nothing' : value.trim().split(' ')[0]!)
      this.fail(
        'I1',
        `${key} is ${short(found)} on the ${this.serves}, and must be ${acceptable.map((value) => short(value)).join(' or ')}`,
      )
      return
    }
  }

  /** Primaries of a side that refuse clients' writes, and its env. */
  refusals(side: 'source' | 'target'): string[] {
    return refusalsOf(side, this.simulation[side])
  }

  /** The same without what one sync mends. */
  lastingRefusals(side: 'source' | 'target'): string[] {
    const {clock, source, [side]: cluster} = this.simulation
    const nowMs = clock.nowMs()
    this.newPrimaries.look(source, nowMs)
    return refusalsOf(side, cluster, (partition) => side === 'source' && this.newPrimaries.has(partition, nowMs))
  }

  private nodeWritten(bytes: Buffer, byHand: boolean): void {
    const {source, target} = this.simulation
    let name: string
    try {
      name = parseNodeData(bytes).clusterName
    } catch (error) {
      if (!byHand) this.fail('I4', `the node was written with ${bytes.toString()}: ${String(error)}`)
      return
    }

    if (name !== source.name && name !== target.name) this.fail('I4', `the node names ${name}`)
    if (name === target.name && this.serves === 'source') this.switched()
    else if (name === source.name && this.serves === 'target') {
      this.serves = 'source'
      this.look()
    }
  }

  /** Whether somebody did it after the tool's last look. */
  private isUnseen(what: Meddling): boolean {
    const atMs = this.meddledAtMs.get(what)
    if (atMs === undefined) return false
    if (what === 'target') return atMs >= this.switchingSinceMs
    const nowMs = this.simulation.clock.nowMs()
    return nowMs - atMs < BLIND_MS || atMs > (this.paused?.atMs ?? nowMs)
  }

  private switched(): void {
    this.serves = 'target'
    for (const what of ['drop', 'lift', 'remove', 'resume', 'deny', 'target'] as const) {
      if (this.isUnseen(what)) this.ruined ??= `${what} by hand just before the switch`
    }

    // Every primary that was there when shipping was stopped must refuse writes.
    const writable = writablePrimaries(this.simulation.source).filter(
      ({ballot, partition}) => this.paused === undefined || this.paused.ballots[partition] === ballot,
    )
    if (writable.length > 0 && this.ruined === undefined)
      this.fail('I3', `switched, and ${writable.map(({text}) => text).join('; ')}`)
    // What clients are sent to must take their writes.
    const refused = this.refusals('target')
    if (refused.length > 0 && this.ruined === undefined) this.fail('I2', `switched, and ${refused.join('; ')}`)
    this.look()
  }

  /** A server that heard of no deny and came to lead a partition after the tool's last look: what it takes is lost. */
  private watchDeaf(): void {
    const deaf = writablePrimaries(this.simulation.source).find(
      ({ballot, partition}) => this.paused?.ballots[partition] !== ballot,
    )
    if (this.serves === 'target' && this.paused && deaf) this.ruined ??= `after the switch ${deaf.text}`
  }

  private tick(): void {
    if (this.stopped) return
    this.watchDeaf()
    this.newPrimaries.look(this.simulation.source, this.simulation.clock.nowMs())
    this.look()
    this.watchReigns()
    this.watchDeny()
    if (ownDeny(this.simulation.source) === undefined) this.ownDenySinceMs = undefined
    else this.ownDenySinceMs ??= this.simulation.clock.nowMs()
    this.simulation.clock.setTimer(TICK_MS, () => this.tick())
  }

  private watchReigns(): void {
    const {moves, reigns, switches, broken} = this.simulation.watch
    if (this.ruined !== undefined) return
    if (broken.length > 0) this.fail(broken[0]!.slice(0, 2), broken[0]!)
    if (reigns.length - 1 <= Math.max(switches, moves)) return
    this.fail('I3', `writes were taken by ${reigns.map(({side}) => side).join(', then ')}`)
  }

  /** I7: not while something is wrong that the bound does not count. */
  private watchDeny(): void {
    const nowMs = this.simulation.clock.nowMs()
    const isDenied = this.serves === 'source' && this.refusals('source').length > 0
    if (!isDenied || this.hasMeddled('deny')) {
      this.deniedMs = 0
      return
    }

    if (this.faultsUnderWay > 0 || nowMs < this.excusedUntilMs) return
    this.deniedMs += TICK_MS
    if (this.deniedMs > MAX_WRITE_DENY_MS + 2 * TICK_MS) {
      this.fail(
        'I7',
        `writes are denied for ${this.deniedMs / 1000} s with nothing wrong: ${this.refusals('source')[0]}`,
      )
    }
  }
}
