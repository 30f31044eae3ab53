// Rows compared a second, beside the rate at which the same Node reads the same sockets without decoding.
// BENCH_ROUNDS and BENCH_ROWS (per partition) change how long it takes.
import {loadavg} from 'node:os'
import {CannedBed} from './canned-bed.js'
import {readRaw} from './raw-reader.js'

const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const rowsPerPartition = Number(process.env.BENCH_ROWS ?? 100_020)
const partitionCount = 8
const parallel = 4
const [keyBytes, valueBytes] = [20, 100]

function median(figures: number[]): number {
  return [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)]!
}

const whole = (figure: number) => Math.round(figure).toLocaleString('en-US')

const bed = await CannedBed.start({partitionCount, rowsPerPartition, valueBytes})
const results: {compared: number; cpu: number; raw: number; rawMiB: number}[] = []
try {
  console.log(
    `${whole(rowsPerPartition * partitionCount)} rows in ${partitionCount} partitions on each side, key ${keyBytes} B, value ${valueBytes} B, ${parallel} partitions at once; Node ${process.version}`,
  )
  // Twice more than is counted: the first time finds code that is not compiled yet.
  for (let round = -1; round < rounds; round++) {
    const rawStart = performance.now()
    const rawBytes = await readRaw({
      addresses: bed.addresses,
      batchRows: 1000,
      inFlight: parallel,
      partitionCount,
      rowsPerPartition,
    })
    const rawSeconds = (performance.now() - rawStart) / 1000
    const cpuBefore = process.cpuUsage()
    const start = performance.now()
    const report = await bed.compare(parallel)
    const seconds = (performance.now() - start) / 1000
    const {system, user} = process.cpuUsage(cpuBefore)
    const rows = rowsPerPartition * partitionCount
    if (report.equal !== rows || report.rowsCompared !== rows) throw new Error(`wrong: ${JSON.stringify(report)}`)
    if (round < 0) continue
    const raw = ((rowsPerPartition - 20) * partitionCount) / rawSeconds
    results.push({
      compared: rows / seconds,
      cpu: ((user + system) / 1000 / rows) * 1000,
      raw,
      rawMiB: rawBytes / rawSeconds / 2 ** 20,
    })
    const {compared, cpu, rawMiB} = results.at(-1)!
    console.log(
      `round ${round + 1}: compared ${whole(compared)} rows/s (${cpu.toFixed(2)} µs of CPU a row), raw ${whole(raw)} rows/s (${whole(rawMiB)} MiB/s), ratio ${(compared / raw).toFixed(2)}, load ${loadavg()[0]!.toFixed(1)}`,
    )
  }

  const ratio = median(results.map(({compared, raw}) => compared / raw))
  console.log(
    `median: compared ${whole(median(results.map(({compared}) => compared)))} rows/s, raw ${whole(median(results.map(({raw}) => raw)))} rows/s, ratio ${ratio.toFixed(2)} (1 would be as fast as reading alone)`,
  )
} finally {
  await bed.stop()
}
