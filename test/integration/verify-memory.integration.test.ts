import assert from 'node:assert/strict'
import {execFile} from 'node:child_process'
import {fileURLToPath} from 'node:url'
import {promisify} from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** In a process of its own, so that nothing else is in its memory. */
async function compare(rows: number): Promise<number> {
  const shape = {partitionCount: 10, rowsPerPartition: rows / 10, valueBytes: 100}
  const args = ['--import', 'tsx', 'bench/compare-once.ts', JSON.stringify(shape)]
  const {stdout} = await promisify(execFile)(process.execPath, args, {cwd: root})
  const {equal, maxRssKiB, rowsCompared} = JSON.parse(stdout)
  assert.deepEqual([equal, rowsCompared], [rows, rows])
  return maxRssKiB
}

describe('memory of a comparison', () => {
  it('is no more than 20 % larger at 2,000,000 rows than at 200,000', async () => {
    const [small, large] = [await compare(200_000), await compare(2_000_000)]
    assert.ok(large < small * 1.2, `${small} KiB at 200,000 rows, ${large} KiB at 2,000,000`)
  }).timeout(120_000)
})
