import {parseArgs} from 'node:util'

import {sleep, systemClock} from '../../src/lib/clock.js'
import {messageOf} from '../../src/lib/errors.js'
import type {Profile} from './index.js'
import {FAST_SERVERS, METAPROXY_ROOT, migrateFlags, type Playground, startPlayground} from './playground.js'

/* `npm run sandbox`: two simulated clusters to try the plugin on, until Ctrl-C. */

const PROFILES: Profile[] = ['2.4', '2.5', '2.5-stock', 'master']
const HELP = `Starts two simulated Pegasus clusters, a real ZooKeeper and a metaproxy on loopback, with a table to move.

  --profile NAME          ${PROFILES.join(', ')} (default 2.5)
  --table NAME            default users
  --rows COUNT            rows of the table at the start (default 20000)
  --partitions COUNT      default 8
  --writes-per-second N   load through metaproxy; 0: none (default 100)
  --fast-servers          config sync each 5 s, not 30 s; empty writes each 2 s, not 10 s; quick checkpoints: a migration
                          takes less than a minute
  --help`

const STATUS_EVERY_MS = 10_000

interface Options {
  fastServers: boolean
  partitions: number
  profile: Profile
  rows: number
  table: string
  writesPerSecond: number
}

function number(flag: string, text: string, least: number): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= least))
    throw new TypeError(`--${flag}: a number of at least ${least}, not "${text}"`)
  return value
}

function parse(args: string[]): 'help' | Options {
  const {values} = parseArgs({
    args,
    options: {
      'fast-servers': {default: false, type: 'boolean'},
      help: {default: false, type: 'boolean'},
      partitions: {default: '8', type: 'string'},
      profile: {default: '2.5', type: 'string'},
      rows: {default: '20000', type: 'string'},
      table: {default: 'users', type: 'string'},
      'writes-per-second': {default: '100', type: 'string'},
    },
  })
  if (values.help) return 'help'
  const profile = PROFILES.find((name) => name === values.profile)
  if (!profile) throw new TypeError(`--profile: one of ${PROFILES.join(', ')}, not "${values.profile}"`)
  return {
    fastServers: values['fast-servers'],
    partitions: Math.floor(number('partitions', values.partitions, 1)),
    profile,
    rows: Math.floor(number('rows', values.rows, 0)),
    table: values.table,
    writesPerSecond: number('writes-per-second', values['writes-per-second'], 0),
  }
}

function describe(playground: Playground, {fastServers, partitions, profile, rows}: Options): string {
  const {proxy, sandbox, table, zookeeper} = playground
  const lines = [
    `table      ${table}, ${partitions} partitions, ${rows} rows`,
    `source     ${sandbox.source.name}, metas ${sandbox.source.metas.join(',')}`,
    `target     ${sandbox.target.name}, metas ${sandbox.target.metas.join(',')}`,
    `ZooKeeper  ${zookeeper.address}, root ${METAPROXY_ROOT}`,
    `metaproxy  ${proxy.address}`,
    `servers    behave as ${profile}${fastServers ? ', with faster timers' : ''}`,
    '',
    'To move the table, in another terminal (bin/run.js in place of pegasus without a shell; after npm run build):',
    '',
    `pegasus table:migrate ${migrateFlags(playground).join(' ')}`,
    '',
    'Ctrl-C ends it.',
  ]
  return lines.join('\n')
}

async function settle(playground: Playground): Promise<void> {
  const {load} = playground
  if (!load) return
  await load.stop()
  const {acknowledged, failed, longestGapMs} = load.report()
  const {checked, lost, stale} = await playground.verify()
  console.log(
    `${acknowledged} writes acknowledged, ${failed} failed, longest gap of a partition ${(longestGapMs / 1000).toFixed(1)} s; ` +
      `${checked} keys compared: ${lost.length} lost, ${stale.length} old`,
  )
  if (lost.length + stale.length > 0) process.exitCode = 1
}

async function main(): Promise<void> {
  const options = parse(process.argv.slice(2))
  if (options === 'help') {
    console.log(HELP)
    return
  }

  const ending = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => ending.abort())
  const playground = await startPlayground({
    ...options,
    clock: systemClock,
    ...(options.fastServers ? {servers: FAST_SERVERS} : {}),
  })
  try {
    console.log(describe(playground, options))
    while (!ending.signal.aborted) {
      // Aborted by a signal: that is how it ends.
      await sleep(systemClock, STATUS_EVERY_MS, ending.signal).catch(() => {})
      const {load} = playground
      if (load) console.log(`${load.report().acknowledged} writes acknowledged, ${load.report().failed} failed`)
    }

    await settle(playground)
  } finally {
    await playground.stop()
  }
}

try {
  await main()
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
}
