import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {sleep, systemClock} from '../../src/lib/clock.js'
import {messageOf} from '../../src/lib/errors.js'
import {journalPath} from '../../src/lib/migration/journal.js'
import {accountLines, demoExitCode} from './demo-account.js'
import {makeShell, runShell, type Shell} from './demo-shell.js'
import {migrateFlags, type Playground, startPlayground} from './playground.js'

/* The show of `npm run demo`: a table under load is moved between two clusters that behave as 2.5 does, in real time. */

const TABLE = 'users'
const ROWS = 20_000
const WRITES_PER_SECOND = 300
const BEFORE_MS = 3000
const AFTER_MS = 3000

async function show(playground: Playground, shell: Shell, directory: string, signal: AbortSignal): Promise<number> {
  const {load, sandbox} = playground
  const flags = ['table:migrate', ...migrateFlags(playground), '--yes']
  console.log(`
${sandbox.source.name} and ${sandbox.target.name}: two simulated clusters with the timers of real ones, a real ZooKeeper, a metaproxy.
Table ${TABLE}: ${ROWS.toLocaleString('en-US')} rows; an application writes ${WRITES_PER_SECOND} times a second through metaproxy.

$ pegasus ${flags.join(' ')}
`)
  await sleep(systemClock, BEFORE_MS, signal)
  const startMs = systemClock.nowMs()
  const {exitCode, text} = await runShell(shell, flags, directory)
  const seconds = (systemClock.nowMs() - startMs) / 1000
  await sleep(systemClock, AFTER_MS)
  await load!.stop()
  const verification = await playground.verify()
  const lines = await accountLines({
    exitCode,
    journalPath: journalPath(join(shell.dataDirectory, 'table-migrator'), TABLE, sandbox.target.name),
    report: load!.report(),
    saidWindow: /Writes were denied for ([^:]*?) from/.exec(text.replaceAll(/\s+/g, ' '))?.[1],
    seconds,
    targetCluster: sandbox.target.name,
    verification,
  })
  console.log(`\n${lines.join('\n')}`)
  return demoExitCode({exitCode, verification})
}

async function main(): Promise<void> {
  // While the command runs a signal is its affair: it stops by itself, and the clusters must live until it has.
  const ending = new AbortController()
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => ending.abort(new Error(`ended by ${signal}`)))
  }

  const directory = await mkdtemp(join(tmpdir(), 'table-migrator-demo-'))
  let playground: Playground | undefined
  try {
    playground = await startPlayground({
      clock: systemClock,
      partitions: 8,
      profile: '2.5',
      rows: ROWS,
      table: TABLE,
      writesPerSecond: WRITES_PER_SECOND,
    })
    const shell = await makeShell(join(directory, 'shell'))
    process.exitCode = await show(playground, shell, directory, ending.signal)
  } finally {
    await playground?.stop()
    await rm(directory, {force: true, recursive: true})
  }
}

try {
  await main()
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
}
