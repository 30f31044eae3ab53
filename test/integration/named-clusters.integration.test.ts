import assert from 'node:assert/strict'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import MigrateStatus from '../../src/commands/table/migrate-status.js'
import MigrateVerify from '../../src/commands/table/migrate-verify.js'
import {systemClock} from '../../src/lib/clock.js'
import {type Sandbox, startSandbox} from '../sandbox/index.js'
import {runCommand} from '../support/run-command.js'

describe('clusters by name', () => {
  let directory: string
  let sandbox: Sandbox

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'named-'))
    sandbox = await startSandbox({clock: systemClock, listen: 'tcp', profile: '2.5'})
    const rows = [{hashKey: 'a', value: 'b'}]
    for (const cluster of [sandbox.source, sandbox.target]) {
      await cluster.createTable('same', {partitionCount: 4, replicaCount: 3})
      cluster.loadRows('same', rows)
    }

    const {source, target} = sandbox
    const clusters = {
      beijing: {cluster: source.name, metas: source.metas},
      shanghai: {cluster: target.name, metas: target.metas},
    }
    await writeFile(join(directory, 'table-migrator.json'), JSON.stringify({clusters}))
  })

  after(async () => {
    await sandbox.stop()
    await rm(directory, {force: true, recursive: true})
  })

  const env = () => ({PEGASUS_CONFIG_DIR: directory, PEGASUS_DATA_DIR: directory})

  it('lead table:migrate-status to the right cluster', async () => {
    const {code, stderr, stdout} = await runCommand(MigrateStatus, ['-t', 'same', '--from', 'beijing', '--json'], env())
    assert.equal(code, 0, stderr)
    assert.match(stdout, /"state": ?"idle"/)
  })

  it('lead table:migrate-verify to both clusters', async () => {
    const argv = ['-t', 'same', '--from', 'beijing', '--to', 'shanghai', '--json']
    const {code, stdout} = await runCommand(MigrateVerify, argv, env())
    assert.equal(code, 0, stdout)
    const {outcome, source, target} = JSON.parse(stdout)
    assert.deepEqual(
      [outcome, source.metas, target.metas, target.cluster],
      ['same', sandbox.source.metas, sandbox.target.metas, sandbox.target.name],
    )
  })
})
