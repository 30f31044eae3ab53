import assert from 'node:assert/strict'
import {spawn} from 'node:child_process'
import {fileURLToPath} from 'node:url'

import {systemClock} from '../../src/lib/clock.js'

const MAIN = fileURLToPath(new URL('../sandbox/main.ts', import.meta.url))
const LIMIT_MS = 60_000

interface Run {
  exitCode: number | null
  stderr: string
  stdout: string
}

/** Runs the program and sends SIGINT when `until` has been printed. */
function run(args: string[], until?: RegExp): Promise<Run> {
  const child = spawn(process.execPath, ['--import=tsx', MAIN, ...args], {stdio: ['ignore', 'pipe', 'pipe']})
  const limit = systemClock.setTimer(LIMIT_MS, () => child.kill('SIGKILL'))
  let [stdout, stderr] = ['', '']
  let interrupted = false
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString()
    if (!until?.test(stdout) || interrupted) return
    interrupted = true
    child.kill('SIGINT')
  })
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString()
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode) => {
      limit.cancel()
      resolve({exitCode, stderr, stdout})
    })
  })
}

describe('npm run sandbox', function () {
  this.timeout(600_000)

  it('prints addresses and a command line, runs until Ctrl-C and settles its account', async () => {
    const args = [
      '--rows',
      '100',
      '--partitions',
      '4',
      '--writes-per-second',
      '50',
      '--table',
      'orders',
      '--fast-servers',
    ]
    const {exitCode, stderr, stdout} = await run(args, /writes acknowledged/)
    assert.equal(exitCode, 0, stderr)
    const address = String.raw`127\.0\.0\.1:\d+`
    const line = `^pegasus table:migrate --table orders --source-meta ${address},${address} --cluster onebox2 --meta ${address} --node ${address} --root /pegasus-metaproxy --proxy ${address}$`
    assert.match(stdout, new RegExp(line, 'm'))
    assert.match(stdout, /orders, 4 partitions, 100 rows/)
    assert.match(stdout, /behave as 2\.5, with faster timers/)
    assert.match(stdout, /\d+ writes acknowledged, 0 failed, longest gap .*: 0 lost, 0 old\n$/)
  })

  for (const [args, message] of [
    [['--profile', '1.0'], /--profile: one of 2\.4, 2\.5/],
    [['--rows', 'many'], /--rows: a number of at least 0, not "many"/],
    [['--nonsense'], /nonsense/],
    // Faster clocks of the servers, that the tool does not share: gone, and not to come back.
    [['--time-scale', '10'], /time-scale/],
  ] as const) {
    it(`refuses ${args.join(' ')}`, async () => {
      const {exitCode, stderr, stdout} = await run([...args])
      assert.equal(exitCode, 1)
      assert.match(stderr, message)
      assert.equal(stdout, '')
    })
  }

  it('has help', async () => {
    const {exitCode, stdout} = await run(['--help'])
    assert.equal(exitCode, 0)
    assert.match(stdout, /--fast-servers/)
  })
})
