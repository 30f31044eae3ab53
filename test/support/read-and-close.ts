import {systemClock} from '../../src/lib/clock.js'
import {MigratorError} from '../../src/lib/errors.js'
import {ZooKeeperStore} from '../../src/lib/metaproxy/zookeeper-store.js'

/* A process of its own: reads a node at the given address, closes, and reports how long it then took to end by itself. */

const [hosts, operationTimeoutMs] = process.argv.slice(2)
const store = new ZooKeeperStore({
  clock: systemClock,
  hosts: hosts!,
  operationTimeoutMs: Number(operationTimeoutMs),
  root: '/',
})
let code = 'none'
try {
  await store.read('users')
} catch (error) {
  code = error instanceof MigratorError ? error.code : String(error)
}

const startMs = systemClock.nowMs()
await store.close()
const closedMs = systemClock.nowMs() - startMs
process.on('exit', () => {
  console.log(JSON.stringify({closedMs, code, exitMs: systemClock.nowMs() - startMs - closedMs}))
})
