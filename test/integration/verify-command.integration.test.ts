import assert from 'node:assert/strict'
import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdtemp, readdir, rm, stat} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {scaledClock} from '../../src/lib/clock.js'
import {DuplicatedTable} from '../support/duplicated-table.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const rows = Array.from({length: 3000}, (_, n) => ({hashKey: `user:${n}`, value: Buffer.from(`v${n}`)}))

describe('table:migrate-verify as a process of its own', () => {
  let table: DuplicatedTable
  let state: string
  let child: ChildProcess | undefined
  before(async function () {
    this.timeout(60_000)
    state = await mkdtemp(join(tmpdir(), 'verify-command-'))
    const clock = scaledClock(20)
    table = await DuplicatedTable.start({clock, listen: 'tcp', partitionCount: 8, profile: '2.5', rows})
  })
  afterEach(() => child?.kill('SIGKILL'))
  after(async () => {
    await table.stop()
    await rm(state, {force: true, recursive: true})
  })

  /** Starts it; `onOutput` hears all that it has printed so far. */
  async function run(argv: string[], onOutput: (text: string) => void = () => {}, name = 'users') {
    const {source, target} = table.sandbox
    const where = ['-t', name, '-c', 'onebox2', '-m', target.metas.join(','), '--source-meta', source.metas.join(',')]
    const args = ['--import', 'tsx', 'test/support/verify-shell.ts', ...where, ...argv]
    const env = {...process.env, NO_COLOR: '1', STATE: state}
    child = spawn(process.execPath, args, {cwd: root, env, stdio: ['ignore', 'pipe', 'pipe']})
    const seen = {code: -1, stderr: '', stdout: ''}
    for (const stream of ['stderr', 'stdout'] as const) {
      child[stream]!.setEncoding('utf8').on('data', (text: string) => {
        seen[stream] += text
        onOutput(seen.stdout)
      })
    }

    ;[seen.code] = (await once(child, 'close')) as [number]
    return seen
  }

  it('stops cleanly on Ctrl-C, and goes on from there', async () => {
    let told = false
    const stopped = await run(['--max-rows-per-second', '300', '--parallel', '1'], (text) => {
      // A second one would end it at once.
      if (!told && / partitions=[1-6]\/8/.test(text)) told = child!.kill('SIGINT')
    })
    assert.equal(stopped.code, 130, stopped.stderr)
    assert.match(stopped.stdout, /event=notice text="SIGINT: stopping; what was compared is kept/)
    assert.match(stopped.stdout, /event=ended outcome=stopped/, stopped.stderr)
    assert.match(stopped.stderr, /stopped before everything was compared/)
    assert.match(stopped.stderr, /goes on from here\.\n {2}\S+ table:migrate-verify -t users/)
    const [file] = await readdir(state)
    assert.equal(file, 'users@onebox2.verify.json')
    assert.equal((await stat(join(state, file!))).mode & 0o777, 0o600)

    const resumed = await run([])
    assert.equal(resumed.code, 0, resumed.stderr)
    assert.match(resumed.stdout, /event=started mode=full text=".*, [1-7] of them found the same by an earlier run/)
    assert.match(resumed.stdout, /users on onebox and onebox2: the same\./)
    assert.match(resumed.stdout, /3,000\s+equal, 0 different/)
    assert.deepEqual(await readdir(state), [])
  }).timeout(60_000)

  it('exits 3 when it is refused and 2 for wrong flags, as JSON too', async () => {
    const refused = await run([], undefined, 'nobody')
    assert.deepEqual([refused.code, /has\s.*no\s.*table\s.*nobody/s.test(refused.stderr)], [3, true])
    const json = await run(['--json'], undefined, 'nobody')
    assert.deepEqual([json.code, JSON.parse(json.stdout).error.code], [3, 'verify.no_table'])
    assert.equal((await run(['--parallel', '0'])).code, 2)
    assert.equal((await run(['--mode', 'none'])).code, 2)
  }).timeout(60_000)
})
