import {systemClock} from '../../clock.js'
import {openZooKeeper} from '../../metaproxy/open.js'
import {machineProcesses} from '../../processes.js'
import {tcpTransport} from '../../rpc/transport.js'
import {takePlan} from './plan.js'
import {runGuard} from './run.js'

/*
 * The guard process: `node main.js <plan file>`. Detached, without a terminal; what it does is in the journal and in its
 * status file.
 */

const plan = await takePlan(process.argv[2] ?? '')
// The operator's Ctrl-C reaches the whole process group on some terminals: it is meant for the driver.
for (const name of ['SIGHUP', 'SIGINT'] as const) process.on(name, () => {})
const controller = new AbortController()
process.on('SIGTERM', () => controller.abort(new Error('the guard was told to go by SIGTERM')))

const world = {
  clock: systemClock,
  openStore: openZooKeeper,
  pid: process.pid,
  processes: machineProcesses,
  random: Math.random,
  transport: tcpTransport,
}
await runGuard(plan, world, controller.signal)
