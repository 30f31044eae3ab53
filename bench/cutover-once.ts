// One cutover in a process of its own: clusters, metaproxy, an application that writes, and the tool. Prints its figures as JSON.
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {sleep, systemClock} from '../src/lib/clock.js'
import {ZooKeeperStore} from '../src/lib/metaproxy/zookeeper-store.js'
import type {WindowPart} from '../src/lib/migration/result.js'
import type {MigrationEvent} from '../src/lib/migration/index.js'
import {loadClient, move, nameSource, type SandboxBed, sandboxBed, verifyOn} from '../test/e2e/bed.js'
import type {LoadClient} from '../test/sandbox/load-client.js'
import {SILENCE_MS} from '../src/lib/migration/proof/silence.js'
import {ServerFloor} from '../test/sandbox/server-floor.js'
import {runOldTool} from './old-tool.js'
import type {CutoverFigures, CutoverSpec} from './options.js'
import {RequestCounter} from './request-counter.js'

const TABLE = 'users'
const MAX_WRITE_DENY_MS = 300_000
const REST_MS = 3000

interface Done {
  outcome: string
  parts?: WindowPart[]
  /** `Clock.nowMs` */
  switchedMs: number
  toolClients?: {maxMs: number; minMs: number}
  windowMs?: number
}

async function ours(bed: SandboxBed, spec: CutoverSpec, requests: RequestCounter, directory: string): Promise<Done> {
  const {result} = await move(bed, TABLE, {
    journalDirectory: directory,
    onEvent(event: MigrationEvent) {
      if (event.type === 'phase-started') requests.begin(event.phase)
      if (event.type === 'phase-finished') requests.end()
    },
    request: {denyMode: spec.denyMode, fastCutover: spec.fast, maxWriteDenyMs: MAX_WRITE_DENY_MS},
  })
  const {clients, parts, switchedAtMs, windowMs} = result.writeDeny
  if (result.outcome !== 'migrated') throw new Error(`${spec.name}: ${result.outcome}: ${result.error?.message}`)
  return {
    outcome: result.outcome,
    ...(parts ? {parts} : {}),
    switchedMs: switchedAtMs! - systemClock.wallMs() + systemClock.nowMs(),
    ...(clients ? {toolClients: clients} : {}),
    ...(windowMs === undefined ? {} : {windowMs}),
  }
}

async function old(bed: SandboxBed): Promise<Done> {
  const store = new ZooKeeperStore({clock: bed.clock, hosts: bed.zookeeper, root: bed.root})
  try {
    const {clock, source, target, targetCluster} = bed
    await runOldTool({clock, source, store, table: TABLE, target, targetCluster, threshold: 10_000})
    return {outcome: 'switched', switchedMs: clock.nowMs()}
  } finally {
    await store.close()
  }
}

/** Waits until the application writes again. */
async function untilServed(load: LoadClient): Promise<void> {
  for (let left = 60; left > 0 && load.report().outages.some(({endMs}) => endMs === undefined); left--) {
    await sleep(systemClock, 1000)
  }
}

async function main(spec: CutoverSpec): Promise<CutoverFigures> {
  const root = `/bench-${spec.seed}/metaproxy`
  const zookeeper = {address: spec.zookeeper}
  const bed = await sandboxBed({profile: spec.profile, root, scale: 1, seed: spec.seed, zookeeper})
  const directory = await mkdtemp(join(tmpdir(), 'table-migrator-bench-'))
  try {
    await bed.sandbox.source.createTable(TABLE, {partitionCount: spec.partitions, replicaCount: 3})
    bed.sandbox.source.loadRows(
      TABLE,
      Array.from({length: spec.rows}, (_, index) => ({hashKey: `old${index}`, value: `value ${index}`})),
    )
    await nameSource(bed, TABLE)
    const load = loadClient(bed, TABLE, {keys: 1000, writers: 8, writesPerSecond: spec.writesPerSecond})
    const eager = loadClient(bed, TABLE, {
      keyPrefix: 'eager',
      keys: 200,
      refreshEveryMs: 50,
      writers: 8,
      writesPerSecond: 160,
    })
    const requests = new RequestCounter(bed.clock, [bed.sandbox.source, bed.sandbox.target])
    const floor = new ServerFloor(bed.sandbox, TABLE, bed.clock)
    await Promise.all([load.start(), eager.start()])
    const startMs = bed.clock.nowMs()
    const done = spec.tool === 'ours' ? await ours(bed, spec, requests, directory) : await old(bed)
    const totalMs = bed.clock.nowMs() - startMs
    for (const each of [load, eager]) await untilServed(each)
    await sleep(systemClock, REST_MS)
    await Promise.all([load.stop(), eager.stop()])
    floor.stop()
    const {closeMs = 0, shipMs, spreadMs} = floor.floor(done.switchedMs)
    const silent = spec.denyMode === 'timeout'
    const found = await Promise.all([load, eager].map((each) => verifyOn(bed, bed.target, TABLE, each)))
    return {
      clientsMs: load.report().windowMs,
      eagerMs: eager.report().windowMs,
      floorMs: spreadMs + (silent ? Math.max(SILENCE_MS, shipMs) + closeMs : shipMs),
      lostWrites: found.reduce((sum, {lost, stale}) => sum + lost.length + stale.length, 0),
      outcome: done.outcome,
      ...(done.parts ? {parts: done.parts} : {}),
      requests: requests.figures(),
      spec,
      ...(done.toolClients ? {toolClients: done.toolClients} : {}),
      totalMs,
      ...(done.windowMs === undefined ? {} : {windowMs: done.windowMs}),
    }
  } finally {
    await bed.stop()
    await rm(directory, {force: true, recursive: true})
  }
}

const figures = await main(JSON.parse(process.argv[2]!) as CutoverSpec)
console.log(JSON.stringify(figures))
process.exit(0)
