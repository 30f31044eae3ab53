import {parseArgs} from 'node:util'

import {scaledClock, sleep} from '../../src/lib/clock.js'
import {messageOf} from '../../src/lib/errors.js'
import type {Profile} from './index.js'
import {METAPROXY_ROOT, migrateFlags, type Playground, startPlayground} from './playground.js'

/* `npm run sandbox`: two simulated clusters to try the plugin on, until Ctrl-C. */

const PROFILES: Profile[] = ['2.4', '2.5', '2.5-stock', 'master']
const HELP = `Starts two simulated Pegasus clusters, a real ZooKeeper and a metaproxy on loopback, with a table to move.

  --profile NAME          ${PROFILES.join(', ')} (default 2.5)
  --table NAME            default users
  --rows COUNT            rows of the table at the start (default 20000)
  --partitions COUNT      default 8
  --writes-per-second N   load through metaproxy; 0: none (default 100)
  --time-scale FACTOR     how many times faster the servers' timers run (default 1)
  --help`

const STATUS_EVERY_MS = 10_000

interface Options {
  partitions: number
  profile: Profile
  rows: number
  table: string
  timeScale: number
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
      help: {default: false, type: 'boolean'},
      partitions: {default: '8', type: 'string'},
      profile: {default: '2.5', type: 'string'},
      rows: {default: '20000', type: 'string'},
      table: {default: 'users', type: 'string'},
      'time-scale': {default: '1', type: 'string'},
      'writes-per-second': {default: '100', type: 'string'},
    },
  })
  if (values.help) return 'help'
  const profile = PROFILES.find((name) => name === values.profile)
  if (!profile) throw new TypeError(`--profile: one of ${PROFILES.join(', ')}, not "${values.profile}"`)
  return {
    partitions: Math.floor(number('partitions', values.partitions, 1)),
    profile,
    rows: Math.floor(number('rows', values.rows, 0)),
    table: values.table,
    timeScale: number('time-scale', values['time-scale'], 0.1),
    writesPerSecond: number('writes-per-second', values['writes-per-second'], 0),
  }
}

function describe(playground: Playground, {partitions, profile, rows, timeScale}: Options): string {
  const {proxy, sandbox, table, zookeeper} = playground
  const lines = [
    `table      ${table}, ${partitions} partitions, ${rows} rows`,
    `source     ${sandbox.source.name}, metas ${sandbox.source.metas.join(',')}`,
    `target     ${sandbox.target.name}, metas ${sandbox.target.metas.join(',')}`,
    `ZooKeeper  ${zookeeper.address}, root ${METAPROXY_ROOT}`,
    `metaproxy  ${proxy.address}`,
    `servers    behave as ${profile}${timeScale === 1 ? '' : `, ${timeScale} times faster`}`,
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

  const clock = scaledClock(options.timeScale)
  const ending = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => ending.abort())
  const playground = await startPlayground({...options, clock})
  try {
    console.log(describe(playground, options))
    while (!ending.signal.aborted) {
      // Aborted by a signal: that is how it ends.
      await sleep(clock, STATUS_EVERY_MS * options.timeScale, ending.signal).catch(() => {})
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
