// Two clusters of many servers in a process of their own; says where they are.
import {systemClock} from '../src/lib/clock.js'
import {quickTimers} from '../test/sandbox/quick-timers.js'
import {type ClusterOverrides, startSandbox} from '../test/sandbox/index.js'

/** What the bench asks for. */
export interface ScaleShape {
  partitions: number
  rows: number
  servers: number
  table: string
}

/** What it is told. */
export interface ScaleAddresses {
  sourceMetas: string[]
  targetCluster: string
  targetMetas: string[]
}

const shape = JSON.parse(process.argv[2]!) as ScaleShape
// A stage of a duplication ends when all of its many partitions are there: their steps are short, what is measured is not.
const quick: ClusterOverrides = {...quickTimers, checkpointMs: 500, dupSyncMs: 2000, guardianStepMs: 1000}
const sandbox = await startSandbox({
  clock: systemClock,
  listen: 'tcp',
  overrides: {source: quick, target: quick},
  profile: '2.5',
  servers: shape.servers,
})
await sandbox.source.createTable(shape.table, {partitionCount: shape.partitions, replicaCount: 3})
sandbox.source.loadRows(
  shape.table,
  Array.from({length: shape.rows}, (_, index) => ({hashKey: `row${index}`, value: `value ${index}`})),
)
const addresses: ScaleAddresses = {
  sourceMetas: sandbox.source.metas,
  targetCluster: sandbox.target.name,
  targetMetas: sandbox.target.metas,
}
process.send!(addresses)
process.once('message', () => process.exit(0))
