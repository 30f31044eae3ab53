import assert from 'node:assert/strict'

import {ExitCode} from '../../../src/lib/exit-codes.js'
import {isMigratorError} from '../../../src/lib/errors.js'
import {Journal} from '../../../src/lib/migration/journal.js'
import {readKnownSource} from '../../../src/lib/migration/known-source.js'
import {withKnownSource} from '../../../src/lib/ui/known-source.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryFiles} from '../../support/memory-files.js'

describe('the source that this machine knows', () => {
  const place = () => ({files: new MemoryFiles(), journalDirectory: '/j'})
  let clock: VirtualClock

  beforeEach(() => {
    clock = new VirtualClock()
  })

  async function begin(
    {files}: ReturnType<typeof place>,
    table: string,
    [sourceCluster, targetCluster]: [string, string],
    sourceMetas?: string[],
  ): Promise<void> {
    const journal = await Journal.open('/j', table, targetCluster, clock, 'r', files)
    const metas = sourceMetas ? {sourceMetas} : {}
    await journal.write({denyMode: 'timeout', kind: 'begin', sourceCluster, ...metas, table, targetCluster, version: 1})
    await journal.close()
    await clock.advance(1000)
  }

  it('is that of the newest run of the table, whatever its target was', async () => {
    const machine = place()
    await begin(machine, 'users', ['a', 'c'], ['a:1'])
    await begin(machine, 'users', ['a', 'b'], ['a:2', 'a:3'])
    await begin(machine, 'users', ['a', 'c'])
    await begin(machine, 'users2', ['a', 'b'], ['a:9'])
    const at = new Date(clock.wallMs() - 3000).toISOString()
    assert.deepEqual(await readKnownSource('users', '/j', machine.files), {at, cluster: 'a', metas: ['a:2', 'a:3']})
  })

  it('is none without a journal that tells it', async () => {
    const machine = place()
    assert.equal(await readKnownSource('users', '/j', machine.files), undefined)
    await begin(machine, 'users', ['a', 'b'])
    assert.equal(await readKnownSource('users', '/j', machine.files), undefined)
  })

  it('is not guessed where the table was moved from several clusters', async () => {
    const machine = place()
    await begin(machine, 'users', ['a', 'b'], ['a:1'])
    await begin(machine, 'users', ['b', 'a'], ['b:1', 'b:2'])
    await assert.rejects(readKnownSource('users', '/j', machine.files), (error) => {
      assert.ok(isMigratorError(error, 'usage'))
      assert.equal(error.exitCode, ExitCode.usage)
      assert.equal(
        error.message,
        'users was moved from several clusters: b (b:1,b:2), a (a:1). Say which: --source-meta',
      )
      return true
    })
  })

  it('fills in what no flag says, aloud, and nothing else', async () => {
    const machine = place()
    await begin(machine, 'users', ['a', 'b'], ['a:1', 'a:2'])
    const lines: string[] = []
    const fill = (flags: {'source-meta'?: string; table?: string}) =>
      withKnownSource(flags, machine, (line) => lines.push(line))
    assert.deepEqual(await fill({'source-meta': 'x:1', table: 'users'}), {'source-meta': 'x:1', table: 'users'})
    assert.deepEqual(await fill({}), {})
    assert.deepEqual(await fill({table: 'orders'}), {table: 'orders'})
    assert.deepEqual(lines, [])
    assert.deepEqual(await fill({table: 'users'}), {'source-meta': 'a:1,a:2', table: 'users'})
    assert.equal(lines.length, 1)
    assert.match(lines[0]!, /^--source-meta a:1,a:2: a, as this machine's journal of users says \(\d{4}-/)
  })
})
