// The tool as built, at scale, in a process of its own, so that its memory is nobody else's. Prints its figures as JSON.
import process from 'node:process'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

/** What `npm run build` made; by name, so that nobody looks for it where it was not made. */
const built = (path) => import(new URL(`../dist/lib/${path}`, import.meta.url).href)
const {systemClock} = await built('clock.js')
const {readShipping} = await built('migration/proof/shipping.js')
const {defaultLimits, migrate} = await built('migration/index.js')
const {readStatus} = await built('migration/status/index.js')
const {PegasusClient} = await built('pegasus/client.js')
const {tcpTransport} = await built('rpc/transport.js')

const ROUNDS = 10
const RSS_EVERY_MS = 50
const {addresses, table} = JSON.parse(process.argv[2])
const {sourceMetas, targetCluster, targetMetas} = addresses
const world = {clock: systemClock, random: Math.random, transport: tcpTransport}
let peakRssMb = 0
const rss = setInterval(() => {
  peakRssMb = Math.max(peakRssMb, process.memoryUsage.rss() / (1 << 20))
}, RSS_EVERY_MS)
async function round(work) {
  const each = []
  for (let left = ROUNDS; left > 0; left--) {
    const before = process.cpuUsage()
    const startMs = performance.now()
    await work()
    const {system, user} = process.cpuUsage(before)
    each.push({cpuMs: (system + user) / 1e3, tookMs: performance.now() - startMs})
  }

  const median = (of) => each.map((figures) => of(figures)).sort((a, b) => a - b)[ROUNDS >> 1]
  return {cpuMs: median(({cpuMs}) => cpuMs), tookMs: median(({tookMs}) => tookMs)}
}

async function migration(journalDirectory) {
  const hooks = {askMoved: async () => 'abort', confirm: async () => true, emit() {}}
  return migrate(
    {
      accepted: [],
      afterDrain: 'lift',
      denyMode: 'reconfig',
      limits: defaultLimits,
      maxWriteDenyMs: 12e4,
      proxies: [],
      sourceMetas,
      table,
      targetCluster,
      targetMetas,
      thresholdMutations: 1e4,
      verify: 'none',
      verifySampleRows: 0,
    },
    {...world, journalDirectory},
    hooks,
    {dryRun: false, signal: new AbortController().signal},
  )
}

async function main() {
  const journalDirectory = await mkdtemp(join(tmpdir(), 'table-migrator-bench-'))
  const client = new PegasusClient(world)
  try {
    const before = process.cpuUsage()
    const startMs = performance.now()
    const {error, outcome, phases} = await migration(journalDirectory)
    const migrationMs = performance.now() - startMs
    const peakRssMbOfMigration = peakRssMb
    const {system, user} = process.cpuUsage(before)
    if (error?.code !== 'switch.not_moved') throw new Error(`${outcome}: ${error?.message}`)
    const cluster = client.cluster(sourceMetas)
    const [entry] = await cluster.duplications(table)
    const {signal} = new AbortController()
    const query = {cluster, dupid: entry.dupid, generation: '2.5', signal, table}
    const lightRound = await round(() => readShipping({...query, decrees: false}))
    const fullRound = await round(() => readShipping({...query, decrees: true}))
    const statusStartMs = performance.now()
    await readStatus({proxies: [], sourceMetas, table, targetCluster, targetMetas}, {...world, journalDirectory})
    return {
      cpuOfMigrationPercent: (system + user) / 10 / migrationMs,
      drainMs: phases.find(({phase}) => phase === 'drain').durationMs,
      fullRound,
      lightRound,
      migrationMs,
      outcome: error.code,
      peakRssMb,
      peakRssMbOfMigration,
      statusMs: performance.now() - statusStartMs,
    }
  } finally {
    clearInterval(rss)
    await client.close()
    await rm(journalDirectory, {force: true, recursive: true})
  }
}

console.log(JSON.stringify(await main()))
process.exit(0)
