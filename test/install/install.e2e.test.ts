import assert from 'node:assert/strict'
import {mkdir, mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {systemClock} from '../../src/lib/clock.js'
import {messageOf} from '../../src/lib/errors.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {FAST_SERVERS, METAPROXY_ROOT, migrateFlags, type Playground, startPlayground} from '../sandbox/playground.js'
import {ZooKeeperNodes} from '../sandbox/zookeeper-nodes.js'
import {Begun} from './begun.js'
import {installCore5, installNode} from './from-npm.js'
import {Host, type HostOptions} from './host.js'
import {packPlugin, repack, twoVersions} from './package.js'
import {Registry} from './registry.js'
import {migrateAcrossVersions} from './story.js'
import {visit} from './visit.js'

const STORY = 'keeps a migration through uninstall, install and update, and ends it with the newer version'
/** The lowest of each line of Node that is supported, and the newest line. */
const SHELLS = [
  {core: 4, node: '20.19.0', topicSeparator: ':'},
  {core: 4, node: '24.21.0', topicSeparator: ' '},
  {core: 5, node: '22.12.0', topicSeparator: ' '},
  {core: 5, node: '24.21.0', topicSeparator: ':'},
] as const
const titleOf = ({core, node, topicSeparator}: (typeof SHELLS)[number]) =>
  `works on Node ${node} in a host of oclif ${core} that writes "table${topicSeparator}migrate"`

describe('the plugin as it is installed', function () {
  // Each command has a limit of its own; the registry may be slow.
  this.timeout(600_000)

  let directory: string
  let registry: Registry
  let playground: Playground | undefined
  const work = new Begun<string | void>()

  const hostOptions = (name: string): Pick<HostOptions, 'directory' | 'npmCache' | 'registry'> => ({
    directory: join(directory, name),
    npmCache: join(directory, 'npm-cache'),
    registry: registry.address,
  })

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'table-migrator-install-'))
    await mkdir(join(directory, 'registry'))
    registry = await Registry.start(join(directory, 'registry'))
    const tarball = await packPlugin(directory)
    await registry.publish(tarball, directory)
    // The installed shell has the ordinary clock, so the servers have it too: fast ones, that say so.
    playground = await startPlayground({
      clock: systemClock,
      partitions: 4,
      profile: '2.5',
      rows: 200,
      servers: FAST_SERVERS,
      table: 'users',
      writesPerSecond: 0,
    })
    await addTable(playground, 'orders')
    beginAll(playground, tarball)
  })

  after(async () => {
    await work.allEnded()
    await playground?.stop()
    await registry?.stop()
    await rm(directory, {force: true, maxRetries: 3, recursive: true})
  })

  function beginAll(running: Playground, tarball: string): void {
    work.begin(STORY, async () => {
      const versions = await twoVersions()
      const host = await Host.create({...hostOptions('story'), topicSeparator: ' '})
      await migrateAcrossVersions(host, running, versions, async () => {
        await registry.publish(await repack(tarball, versions[1], directory), directory)
      })
    })
    const nodes = new Map<string, Promise<string>>()
    const core5 = installCore5(join(directory, 'core-5'))
    // Told by the tests that need it.
    core5.catch(() => {})
    for (const shell of SHELLS) {
      const {core, node, topicSeparator} = shell
      if (!nodes.has(node)) nodes.set(node, installNode(node, join(directory, `node-${node}`)))
      work.begin(titleOf(shell), async () => {
        let binary: string
        try {
          binary = await nodes.get(node)!
        } catch (error) {
          return `Node ${node} cannot be had: ${messageOf(error)}`
        }

        const modules = core === 5 ? {modules: await core5} : {}
        const name = `core${core}-node${node}`
        const host = await Host.create({...hostOptions(name), ...modules, node: binary, topicSeparator})
        return visit(host, topicSeparator, migrateFlags({...running, table: 'orders'}))
      })
    }
  }

  for (const shell of SHELLS) {
    it(titleOf(shell), async function () {
      const missing = await work.end(titleOf(shell))
      if (!missing) return
      console.error(missing)
      this.skip()
    })
  }

  it(STORY, async () => {
    assert.equal(await work.end(STORY), undefined)
  })
})

/** A table beside the one that is moved, with its metaproxy node. */
async function addTable({sandbox, zookeeper}: Playground, table: string): Promise<void> {
  await sandbox.source.createTable(table, {partitionCount: 4, replicaCount: 3})
  const nodes = await ZooKeeperNodes.open(zookeeper.address)
  await nodes.create(`${METAPROXY_ROOT}/${table}`, formatNodeData(sandbox.source.name, sandbox.source.metas))
  await nodes.close()
}
