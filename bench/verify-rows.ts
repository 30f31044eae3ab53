// Rows compared a second, beside the rate at which the same Node reads the same sockets without decoding.
// BENCH_ROUNDS and BENCH_ROWS (per partition) change how long it takes.
import {availableParallelism, loadavg} from 'node:os'
import {CannedBed} from './canned-bed.js'
import {readRaw} from './raw-reader.js'

const rounds = Number(process.env.BENCH_ROUNDS ?? 9)
const rowsPerPartition = Number(process.env.BENCH_ROWS ?? 200_020)
const parallel = Number(process.env.BENCH_PARALLEL ?? 4)
const partitionCount = 8
const [keyBytes, valueBytes] = [20, 100]
/** The first 20 rows of a partition are a try, how large they are. */
const rawRows = (rowsPerPartition - 20) * partitionCount
const comparedRows = rowsPerPartition * partitionCount

interface Measured {
  cpuMicros: number
  rowsPerSecond: number
}

async function measure(rows: number, work: () => Promise<void>): Promise<Measured> {
  const cpuBefore = process.cpuUsage()
  const startMs = performance.now()
  await work()
  const seconds = (performance.now() - startMs) / 1000
  const {system, user} = process.cpuUsage(cpuBefore)
  return {cpuMicros: (system + user) / rows, rowsPerSecond: rows / seconds}
}

function median(figures: number[]): number {
  return [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)]!
}

function shown({cpuMicros, rowsPerSecond}: Measured): string {
  return `${Math.round(rowsPerSecond).toLocaleString('en-US')} rows/s (${cpuMicros.toFixed(2)} µs of CPU a row)`
}

const bed = await CannedBed.start({partitionCount, rowsPerPartition, valueBytes})
const results: {compared: Measured; raw: Measured}[] = []
try {
  console.log(
    `${comparedRows.toLocaleString('en-US')} rows in ${partitionCount} partitions on each side, key ${keyBytes} B, value ${valueBytes} B, ${parallel} partitions at once; Node ${process.version}, ${availableParallelism()} cores`,
  )
  // The first two rounds are not counted: code is compiled then.
  for (let round = -1; round <= rounds; round++) {
    const raw = await measure(rawRows, async () => {
      await readRaw({addresses: bed.addresses, batchRows: 1000, inFlight: parallel, partitionCount, rowsPerPartition})
    })
    const compared = await measure(comparedRows, async () => {
      const report = await bed.compare(parallel)
      if (report.equal !== comparedRows || !report.confirmed) throw new Error(`wrong: ${JSON.stringify(report)}`)
    })
    if (round < 1) continue
    results.push({compared, raw})
    const ratio = compared.rowsPerSecond / raw.rowsPerSecond
    console.log(
      `round ${round}: compared ${shown(compared)}, raw ${shown(raw)}, ratio ${ratio.toFixed(2)}, load ${loadavg()[0]!.toFixed(1)}`,
    )
  }

  const of = (what: 'compared' | 'raw'): Measured => ({
    cpuMicros: median(results.map((result) => result[what].cpuMicros)),
    rowsPerSecond: median(results.map((result) => result[what].rowsPerSecond)),
  })
  const ratio = median(results.map(({compared, raw}) => compared.rowsPerSecond / raw.rowsPerSecond))
  console.log(
    `median: compared ${shown(of('compared'))}, raw ${shown(of('raw'))}, ratio ${ratio.toFixed(2)} (1: as fast as reading alone)`,
  )
} finally {
  await bed.stop()
}
