import assert from 'node:assert/strict'
import {mkdir, mkdtemp, readdir, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {systemClock} from '../../src/lib/clock.js'
import {FAST_SERVERS, migrateFlags, type Playground, startPlayground} from '../sandbox/playground.js'
import {Host, root, run} from './host.js'
import {Registry} from './registry.js'

describe('the plugin as it is installed', function () {
  this.timeout(300_000)

  let directory: string
  let registry: Registry
  let playground: Playground | undefined

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'table-migrator-install-'))
    await mkdir(join(directory, 'registry'))
    registry = await Registry.start(join(directory, 'registry'))
    const packed = await run('npm', ['pack', '--pack-destination', directory], {cwd: root})
    assert.equal(packed.exitCode, 0, packed.stderr)
    const tarball = (await readdir(directory)).find((name) => name.endsWith('.tgz'))
    await registry.publish(join(directory, tarball!), directory)
  })

  after(async () => {
    await playground?.stop()
    await registry?.stop()
    await rm(directory, {force: true, recursive: true})
  })

  it('is found by a host that writes its commands with colons', async () => {
    const host = await Host.create(join(directory, 'colon'), ':', registry.address)
    const installed = await host.run('plugins:install', '@org/table-migrator')
    assert.equal(installed.exitCode, 0, installed.stderr)
    const help = await host.run('table:migrate', '--help')
    assert.equal(help.exitCode, 0, help.stderr)
    assert.match(help.stdout, /\$ pegasus table:migrate -t NAME/)
    assert.equal((await host.run('table:migrate')).exitCode, 2)
  })

  it('migrates a table in a host that writes its commands with spaces', async () => {
    const host = await Host.create(join(directory, 'space'), ' ', registry.address)
    const installed = await host.run('plugins', 'install', '@org/table-migrator')
    assert.equal(installed.exitCode, 0, installed.stderr)
    const help = await host.run('table:migrate', '--help')
    assert.match(help.stdout, /\$ pegasus table migrate -t NAME/)

    // The installed shell has the ordinary clock, so the servers have it too: faster ones, that say so.
    playground = await startPlayground({
      clock: systemClock,
      servers: FAST_SERVERS,
      partitions: 4,
      profile: '2.5',
      rows: 200,
      table: 'users',
      writesPerSecond: 0,
    })
    const flags = migrateFlags(playground)
    const rehearsed = await host.run('table', 'migrate', ...flags, '--dry-run', '--json')
    assert.equal(rehearsed.exitCode, 0, rehearsed.stdout + rehearsed.stderr)
    assert.equal(JSON.parse(rehearsed.stdout).outcome, 'dry-run')

    const migrated = await host.run('table:migrate', ...flags, '--yes')
    assert.equal(migrated.exitCode, 0, migrated.stdout + migrated.stderr)
    assert.match(migrated.stdout, /phase=finish table=users event=finished/)
    const {source, target} = playground.sandbox
    assert.match(migrated.stdout, new RegExp(`users was moved from ${source.name} to ${target.name}\\.`))
    assert.deepEqual(new Set(target.rows('users').keys()), new Set(source.rows('users').keys()))
    assert.ok((await readdir(join(host.dataDirectory, 'table-migrator'))).includes('users@onebox2.jsonl'))

    const removed = await host.run('plugins', 'uninstall', '@org/table-migrator')
    assert.equal(removed.exitCode, 0, removed.stderr)
    assert.notEqual((await host.run('table:migrate', '--help')).exitCode, 0)
  })
})
