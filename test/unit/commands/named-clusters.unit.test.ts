import assert from 'node:assert/strict'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {Command} from '@oclif/core'
import Migrate from '../../../src/commands/table/migrate.js'
import Rollback from '../../../src/commands/table/migrate-rollback.js'
import Status from '../../../src/commands/table/migrate-status.js'
import Verify from '../../../src/commands/table/migrate-verify.js'
import {toRequest} from '../../../src/lib/ui/request.js'
import {toRollbackRequest} from '../../../src/lib/ui/rollback-flags.js'
import {toStatusQuery} from '../../../src/lib/ui/status-flags.js'
import {toVerifyRequest} from '../../../src/lib/ui/verify-flags.js'
import {runCommand} from '../../support/run-command.js'

const CLUSTERS = {
  clusters: {
    beijing: {
      cluster: 'cluster-a',
      metas: ['a:1', 'b:2'],
      proxies: ['p:1', 'q:2'],
      zookeeper: {hosts: ['zk:2181'], root: '/pegasus-metaproxy'},
    },
    shanghai: {cluster: 'cluster-b', metas: ['c:3', 'd:4']},
  },
}

describe('named clusters', () => {
  let directory: string

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'clusters-'))
    await writeFile(join(directory, 'table-migrator.json'), JSON.stringify(CLUSTERS))
    await writeFile(
      join(directory, 'others.json'),
      JSON.stringify({clusters: {beijing: {metas: ['x:1']}, shanghai: {metas: ['y:1']}}}),
    )
  })

  after(() => rm(directory, {recursive: true}))

  /** What a command makes of its flags; nothing is run. */
  async function asked<T>(
    command: typeof Command,
    to: (flags: never, auth: undefined) => T,
    argv: string[],
    env: Record<string, string> = {},
  ): Promise<{code: unknown; message: string; request: T}> {
    let request: T | undefined
    class Asking extends (command as unknown as typeof Migrate) {
      static override id = 'table:asking'
      override async run(): Promise<never> {
        const flags = await this.withNamedClusters(await this.parse(command as typeof Migrate))
        request = to(flags as never, undefined)
        return undefined as never
      }
    }
    const {code, error} = await runCommand(Asking, argv, {PEGASUS_CONFIG_DIR: directory, ...env})
    return {code, message: error?.message ?? '', request: request as T}
  }

  const NAMES = ['-t', 'users', '--from', 'beijing', '--to', 'shanghai']

  it('say everything that table:migrate needs', async () => {
    const {request} = await asked(Migrate, toRequest, NAMES)
    assert.deepEqual(request.sourceMetas, ['a:1', 'b:2'])
    assert.equal(request.targetCluster, 'cluster-b')
    assert.deepEqual(request.targetMetas, ['c:3', 'd:4'])
    assert.deepEqual(request.metaproxy, {auth: undefined, hosts: 'zk:2181', root: '/pegasus-metaproxy'})
    assert.deepEqual(request.proxies, ['p:1', 'q:2'])
  })

  it('work for status, rollback and verify', async () => {
    const status = (await asked(Status, toStatusQuery, NAMES)).request
    assert.deepEqual(
      [status.sourceMetas, status.targetCluster, status.targetMetas],
      [['a:1', 'b:2'], 'cluster-b', ['c:3', 'd:4']],
    )
    assert.deepEqual([status.zooKeeperHosts, status.zooKeeperRoot], ['zk:2181', '/pegasus-metaproxy'])
    assert.deepEqual(status.proxies, ['p:1', 'q:2'])
    const rollback = (await asked(Rollback, toRollbackRequest, NAMES.slice(0, 4))).request
    assert.deepEqual(
      [rollback.sourceMetas, rollback.targetCluster, rollback.zooKeeperRoot],
      [['a:1', 'b:2'], undefined, '/pegasus-metaproxy'],
    )
    const verify = (await asked(Verify, toVerifyRequest, NAMES)).request
    assert.deepEqual(
      [verify.sourceMetas, verify.targetCluster, verify.targetMetas],
      [['a:1', 'b:2'], 'cluster-b', ['c:3', 'd:4']],
    )
  })

  it('are outranked by what is typed', async () => {
    const {request} = await asked(Migrate, toRequest, [...NAMES, '-m', 'other:1', '--proxy', 'r:9', '-n', 'zk9:1'])
    assert.equal(request.targetCluster, 'cluster-b')
    assert.deepEqual(request.targetMetas, ['other:1'])
    assert.deepEqual(request.proxies, ['r:9'])
    assert.equal(request.metaproxy?.hosts, 'zk9:1')
  })

  it('outrank the environment when they are typed, and not when they come from there too', async () => {
    const env = {PEGASUS_META_SERVERS: 'env:1'}
    assert.deepEqual((await asked(Migrate, toRequest, NAMES, env)).request.sourceMetas, ['a:1', 'b:2'])
    const both = {...env, PEGASUS_MIGRATE_FROM: 'beijing', PEGASUS_MIGRATE_TO: 'shanghai'}
    const {request} = await asked(Migrate, toRequest, ['-t', 'users'], both)
    assert.deepEqual([request.sourceMetas, request.targetMetas], [['env:1'], ['c:3', 'd:4']])
  })

  it('come from another file when it is said, by flag or environment', async () => {
    const other = join(directory, 'others.json')
    const byFlag = await asked(Migrate, toRequest, [...NAMES, '--clusters-file', other])
    assert.deepEqual(byFlag.request.sourceMetas, ['x:1'])
    // Without a cluster name of its own it is called what the file calls it.
    assert.equal(byFlag.request.targetCluster, 'shanghai')
    assert.equal(byFlag.request.metaproxy, undefined)
    const byEnv = await asked(Migrate, toRequest, NAMES, {PEGASUS_MIGRATE_CLUSTERS_FILE: other})
    assert.deepEqual(byEnv.request.sourceMetas, ['x:1'])
  })

  const wrong: [string, string[], RegExp][] = [
    [
      'a name that is not there',
      ['-t', 'users', '--from', 'beijing', '--to', 'paris'],
      /table-migrator\.json has no cluster paris; it names beijing, shanghai/,
    ],
    [
      'the same name twice',
      ['-t', 'users', '--from', 'beijing', '--to', 'beijing'],
      /--from and --to name the same cluster, beijing/,
    ],
    ['a file that is not there', [...NAMES, '--clusters-file', 'none.json'], /there is no clusters file none\.json/],
    [
      'a missing target',
      ['-t', 'users', '--from', 'beijing'],
      /Missing required flag cluster: say --cluster, or --to and a name from the clusters file/,
    ],
    [
      'a missing source',
      ['-t', 'users', '--to', 'shanghai'],
      /Missing required flag source-meta: say --source-meta, or --from/,
    ],
    [
      '--after-drain with a root from the file',
      [...NAMES, '--after-drain', 'keep'],
      /--after-drain is for migrations without --root/,
    ],
  ]
  for (const [what, argv, message] of wrong) {
    it(`exit 2 on ${what}`, async () => {
      const {code, message: said} = await asked(Migrate, toRequest, argv)
      assert.match(said, message)
      assert.equal(code, 2)
    })
  }

  it('are not looked for when nobody names one', async () => {
    const {request} = await asked(Migrate, toRequest, [
      '-t',
      'users',
      '--source-meta',
      'a:1',
      '-c',
      'x',
      '-m',
      'c:3',
      '--clusters-file',
      'none.json',
    ])
    assert.deepEqual(request.sourceMetas, ['a:1'])
  })
})
