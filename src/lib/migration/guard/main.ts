import {systemClock} from '../../clock.js'
import {openZooKeeper} from '../../metaproxy/open.js'
import {PegasusClient} from '../../pegasus/client.js'
import {tcpTransport} from '../../rpc/transport.js'
import {Journal} from '../journal.js'
import {GuardChannel} from './channel.js'
import {guardContext} from './context.js'
import {guardCutover} from './guard.js'
import {takePlan} from './plan.js'

/*
 * The guard process: `node main.js <plan file>`. Detached, without a terminal; what it does is in the journal and in its
 * status file.
 */

const plan = await takePlan(process.argv[2] ?? '')
const {request} = plan
const clock = systemClock
const client = new PegasusClient({clock, random: Math.random, transport: tcpTransport})
const store = request.metaproxy && openZooKeeper(request.metaproxy, clock)
const channel = new GuardChannel(plan.journalDirectory, request.table, request.targetCluster)
const journal = await Journal.open(
  plan.journalDirectory,
  request.table,
  request.targetCluster,
  clock,
  `guard-${process.pid}`,
)
// The operator's Ctrl-C reaches the whole process group on some terminals: it is meant for the driver.
for (const name of ['SIGHUP', 'SIGINT'] as const) process.on(name, () => {})
const controller = new AbortController()
process.on('SIGTERM', () => controller.abort(new Error('the guard was told to go by SIGTERM')))

try {
  const context = guardContext(plan, {client, emit() {}, journal, signal: controller.signal, store})
  await guardCutover({channel, clock, context, pid: process.pid, signal: controller.signal})
} finally {
  await Promise.all([client.close(), store?.close(), journal.close()])
}
