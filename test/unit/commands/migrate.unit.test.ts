import assert from 'node:assert/strict'
import MigrateCommand from '../../../src/commands/table/migrate.js'
import {defaultLimits, type Migrate, type MigrationRequest} from '../../../src/lib/migration/index.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {readSchema, violations} from '../../support/json-schema.js'
import {rehearse} from '../../support/rehearsal.js'
import {type CommandRun, runCommand} from '../../support/run-command.js'

const NEEDED = ['-t', 'users', '-c', 'onebox2', '-m', 'c:3,d:4', '--source-meta', 'a:1,b:2']
const METAPROXY = ['-r', '/pegasus-metaproxy', '-n', 'zk:2181']

interface Run extends CommandRun {
  request: MigrationRequest | undefined
}

/** Runs the command in this process, with `migrate` in place of the real one and without a terminal. */
async function run(
  argv: string[],
  {env = {}, migrate}: {env?: Record<string, string>; migrate?: Migrate} = {},
): Promise<Run> {
  let request: MigrationRequest | undefined
  const clock = new VirtualClock()
  class Command extends MigrateCommand {
    static override id = 'table:migrate'
    protected override migrate: Migrate = async (asked, ...rest) => {
      request = asked
      return clock.run((migrate ?? rehearse('succeeds'))(asked, ...rest))
    }

    protected override world() {
      return {...super.world(), clock}
    }
  }

  return {...(await runCommand(Command, argv, env)), request}
}

describe('table:migrate', () => {
  it('asks the library for what the flags say', async () => {
    const {code, request} = await run([
      ...NEEDED,
      ...METAPROXY,
      '--yes',
      '-p',
      '5K',
      '--max-write-deny',
      '90s',
      '--deny-mode',
      'reconfig',
      '--verify',
      'count',
      '--verify-rows',
      '2K',
      '--max-rows-per-second',
      '20K',
      '--proxy',
      'p:1',
      '--proxy',
      'q:2',
      '--accept',
      'direct-clients',
      '--drain-limit',
      '45s',
      '--stall-limit',
      '5m',
    ])
    assert.equal(code, 0)
    assert.deepEqual(request, {
      accepted: ['direct-clients'],
      afterDrain: 'ask',
      cutoverAttempts: 3,
      denyMode: 'reconfig',
      fastCutover: 'auto',
      limits: {...defaultLimits, denyMs: undefined, drainMs: 45_000, stallMs: 300_000},
      maxWriteDenyMs: 90_000,
      metaproxy: {auth: undefined, hosts: 'zk:2181', root: '/pegasus-metaproxy'},
      proxies: ['p:1', 'q:2'],
      sourceMetas: ['a:1', 'b:2'],
      table: 'users',
      targetCluster: 'onebox2',
      targetMetas: ['c:3', 'd:4'],
      thresholdMutations: 5000,
      verify: 'count',
      verifyRowsPerSecond: 20_000,
      verifySampleRows: 2000,
    } satisfies MigrationRequest)
  })

  it('takes every flag from the environment too, and the ZooKeeper login from there only', async () => {
    const {code, request} = await run([], {
      env: {
        PEGASUS_META_SERVERS: 'a:1',
        PEGASUS_MIGRATE_ACCEPT: 'one,two',
        PEGASUS_MIGRATE_CLUSTER: 'onebox2',
        PEGASUS_MIGRATE_META: 'c:3',
        PEGASUS_MIGRATE_NODE: 'zk:2181',
        PEGASUS_MIGRATE_PROXY: 'p:1,q:2',
        PEGASUS_MIGRATE_ROOT: '/r',
        PEGASUS_MIGRATE_TABLE: 'users',
        PEGASUS_MIGRATE_YES: 'true',
        PEGASUS_ZK_AUTH: 'digest:me:secret',
      },
    })
    assert.equal(code, 0)
    assert.deepEqual(request?.accepted, ['one', 'two'])
    assert.deepEqual(request?.proxies, ['p:1', 'q:2'])
    assert.deepEqual(request?.metaproxy, {auth: 'digest:me:secret', hosts: 'zk:2181', root: '/r'})
  })

  it('gives each flag an environment variable and a line of help', () => {
    for (const [name, flag] of Object.entries(MigrateCommand.flags)) {
      assert.match(flag.env ?? '', /^PEGASUS_/, name)
      assert.match(flag.description ?? '', /^[A-Z].*\.$/, name)
      assert.ok(flag.helpGroup, name)
    }
  })

  const wrong: [string, string[], RegExp][] = [
    ['a table that is missing', NEEDED.slice(2), /Missing required flag table/],
    ['no rows a second', [...NEEDED, '--max-rows-per-second', '0'], /--max-rows-per-second: must be 1 at least/],
    ['an unknown flag', [...NEEDED, '--fast'], /Nonexistent flag: --fast/],
    [
      'an address without a port',
      ['-t', 'users', '-c', 'x', '-m', 'c', '--source-meta', 'a:1'],
      /--meta: not host:port/,
    ],
    ['a duration without a unit', [...NEEDED, '--max-write-deny', '120'], /--max-write-deny: not a duration/],
    ['a count that is none', [...NEEDED, '-p', 'many'], /--threshold: not a count/],
    ['a name that no table has', ['-t', 'a/b', ...NEEDED.slice(2)], /--table: not a table name/],
    ['a root that is no path', [...NEEDED, '-r', 'metaproxy'], /--root: not a ZooKeeper path/],
    ['--node without --root', [...NEEDED, '-n', 'zk:1'], /--root/],
    ['--proxy without --root', [...NEEDED, '--proxy', 'p:1'], /--root/],
    ['--after-drain with --root', [...NEEDED, ...METAPROXY, '--after-drain', 'keep'], /--after-drain/],
    ['an argument', [...NEEDED, 'users'], /Unexpected argument/],
    ['a deny mode that is none', [...NEEDED, '--deny-mode', 'all'], /--deny-mode/],
  ]
  for (const [what, argv, message] of wrong) {
    it(`exits 2 on ${what}, in text and in JSON, and touches nothing`, async () => {
      const text = await run([...argv, '--yes'])
      const json = await run([...argv, '--yes', '--json'])
      assert.match(text.error?.message ?? '', message)
      assert.equal((text.error as {oclif?: {exit?: number}}).oclif?.exit, 2)
      assert.deepEqual([text.code, json.code], [2, 2])
      assert.deepEqual([text.request, json.request], [undefined, undefined])
      const document = JSON.parse(json.stdout)
      assert.deepEqual(violations(readSchema('error'), document), [])
      assert.deepEqual(Object.keys(document), ['error', 'schema'])
      assert.match(document.error.message, message)
      assert.deepEqual([document.error.code, document.error.exit], ['usage', 2])
    })
  }

  it('does not print a wrong ZooKeeper login', async () => {
    const {code, error, stderr, stdout} = await run([...NEEDED, ...METAPROXY, '--yes'], {
      env: {PEGASUS_ZK_AUTH: 'user:hunter2'},
    })
    assert.equal(code, 2)
    assert.match(error!.message, /PEGASUS_ZK_AUTH/)
    assert.ok(![error!.message, stderr, stdout].some((text) => text.includes('hunter2')))
  })

  it('refuses to begin without a terminal and without --yes', async () => {
    for (const extra of [[], ['--json']]) {
      const {code, request} = await run([...NEEDED, ...METAPROXY, ...extra])
      assert.equal(code, 3)
      assert.equal(request, undefined)
    }
  })

  it('wants to know what happens after the drain when there is nobody to ask then', async () => {
    const {code, error} = await run([...NEEDED, '--yes'])
    assert.equal(code, 3)
    assert.match(error!.message, /there is no terminal to ask on once everything is on the target/)
    const {code: withAnswer, request} = await run([...NEEDED, '--yes', '--after-drain', 'lift'])
    assert.equal(withAnswer, 4)
    assert.equal(request?.afterDrain, 'lift')
  })

  it('needs neither for a dry run', async () => {
    const {code, stdout} = await run([...NEEDED, '--dry-run'])
    assert.equal(code, 0)
    assert.match(stdout, /Dry run of users, onebox to onebox2: nothing was changed\./)
    assert.match(stdout, / 1\. {2}add a duplication of users to cluster onebox2/)
  })

  it('prints one JSON document and nothing else', async () => {
    const {code, stderr, stdout} = await run([...NEEDED, ...METAPROXY, '--yes', '--json'])
    assert.equal(code, 0)
    assert.equal(stderr, '')
    const document = JSON.parse(stdout)
    assert.equal(document.outcome, 'migrated')
    assert.equal(document.phases.length, 8)
  })

  it('exits with the same code in text and in JSON when it fails', async () => {
    for (const extra of [[], ['--json']]) {
      const {code} = await run([...NEEDED, ...METAPROXY, '--yes', ...extra], {migrate: rehearse('fails')})
      assert.equal(code, 4)
    }
  })

  it('says what may be so when the library itself breaks while writes are denied', async () => {
    const text = await run([...NEEDED, ...METAPROXY, '--yes'], {migrate: rehearse('breaks')})
    assert.equal(text.code, 5)
    assert.match(text.error!.message, /Writes to users may be denied, since/)
    const json = await run([...NEEDED, ...METAPROXY, '--yes', '--json'], {migrate: rehearse('breaks')})
    assert.equal(json.code, 5)
    assert.equal(JSON.parse(json.stdout).error.code, 'ui.broken')
  })

  it('logs one line per event without a terminal, and the outcome at the end', async () => {
    const {stderr, stdout} = await run([...NEEDED, ...METAPROXY, '--yes'], {migrate: rehearse('fails')})
    const lines = stdout.trimEnd().split('\n')
    assert.ok(
      lines.every((line) => /^\d{4}-\d\d-\d\dT[\d:.]+Z (phase=[a-z-]+ )?table=users event=/.test(line)),
      stdout,
    )
    assert.match(lines.at(-1)!, /event=ended outcome=stopped code=drain\.limit/)
    assert.match(stderr, /Stopped: users is served by onebox, and its writes are allowed there\./)
    assert.ok(!`${stdout}${stderr}`.includes('\u001B'))
  })
})
