import assert from 'node:assert/strict'

import {isMigratorError, type MigratorError} from '../../../../src/lib/errors.js'
import {ExitCode} from '../../../../src/lib/exit-codes.js'
import {formatNodeData, parseNodeData} from '../../../../src/lib/metaproxy/node-data.js'
import {preflight} from '../../../../src/lib/migration/phases/preflight.js'
import type {MigrationRequest} from '../../../../src/lib/migration/request.js'
import {runPhases} from '../../../../src/lib/migration/runner.js'
import {PegasusClient} from '../../../../src/lib/pegasus/client.js'
import {type Sandbox, startSandbox, VirtualClock} from '../../../sandbox/index.js'
import {DENY, ScriptedMigration} from '../../../support/scripted-migration.js'

const REMOTE = 'onebox2'

describe('the preflight phase', () => {
  let client: PegasusClient
  let clock: VirtualClock
  let sandbox: Sandbox

  async function open(profile: '2.5' | '2.5-stock' = '2.5'): Promise<void> {
    clock = new VirtualClock()
    sandbox = await clock.run(startSandbox({clock, listen: 'memory', profile}))
    await sandbox.source.createTable('users', {partitionCount: 2, replicaCount: 3})
    sandbox.source.loadRows('users', [{hashKey: 'a', value: '1'}])
    client = new PegasusClient({
      clock,
      random: () => 0.5,
      resolve: async () => ['127.0.0.1'],
      transport: sandbox.transport,
    } as never)
  }

  afterEach(() => clock.run(Promise.all([client.close(), sandbox.stop()])))

  function script(request: Partial<MigrationRequest> = {}): ScriptedMigration {
    const {source, target} = sandbox
    const made = new ScriptedMigration(
      {sourceMetas: source.metas, targetCluster: REMOTE, targetMetas: target.metas, ...request},
      {client, clock, source: client.cluster(source.metas), target: client.cluster(target.metas)},
    )
    made.state.facts = undefined
    made.state.timers = undefined
    made.state.dupid = 0
    names(made, 'onebox')
    return made
  }

  function names(made: ScriptedMigration, cluster: string): void {
    const metas = cluster === REMOTE ? sandbox.target.metas : sandbox.source.metas
    const bytes = formatNodeData(cluster, metas)
    made.node = {...made.node, bytes, data: parseNodeData(bytes)}
  }

  async function run(made: ScriptedMigration) {
    const {error, timings} = await clock.run(runPhases(made.context, [preflight]))
    return {error: error as MigratorError | undefined, summary: timings[0]!.summary}
  }

  const duplicate = async () => {
    const cluster = client.cluster(sandbox.source.metas)
    const {dupid} = await clock.run(cluster.addDuplication({checkpoint: true, remoteCluster: REMOTE, table: 'users'}))
    await clock.advance(120_000)
    return dupid
  }

  it('gathers what later phases stand on, and tells each check', async () => {
    await open()
    const made = script({accepted: ['metaproxy-proxies']})
    const {error, summary} = await run(made)
    assert.equal(error, undefined, error?.message)
    assert.equal(summary, '2 partitions, nothing stands in the way')
    assert.equal(made.state.facts?.source.table.appName, 'users')
    assert.deepEqual(made.state.timers, {configSyncMs: 30_000, groupCheckMs: 10_000})
    const checks = made.events.filter(({type}) => type === 'check')
    assert.ok(checks.length > 20, String(checks.length))
    assert.deepEqual(made.performed, [])
    const {ownDeny, ownDupid, ownHandOver} = made.state.facts!
    assert.deepEqual([ownDeny, ownDupid, ownHandOver], [undefined, undefined, undefined])
  })

  it('hands the journal’s hints on', async () => {
    await open()
    const made = script()
    Object.assign(made.context.hints, {deny: 'reconfig*write', dupid: 5, word: true})
    await run(made)
    const {ownDeny, ownDupid, ownHandOver} = made.state.facts!
    assert.deepEqual([ownDeny, ownDupid, ownHandOver], ['reconfig*write', 5, true])
    const closed = script()
    closed.context.hints.closed = true
    await run(closed)
    assert.equal(closed.state.facts!.ownHandOver, true)
  })

  it('needs no node', async () => {
    await open()
    const made = script()
    made.context.store = undefined
    delete made.context.request.metaproxy
    await run(made)
    assert.equal(made.state.facts?.metaproxy, undefined)
  })

  it('refuses what an error stands in the way of, and says what mends it', async () => {
    await open()
    const made = script({table: 'nobody'})
    const {error} = await run(made)
    assert.ok(isMigratorError(error, 'preflight.refused'))
    assert.equal(error.exitCode, ExitCode.refused)
    assert.match(error.message, /^nobody cannot be migrated as things are: /)
    assert.ok(String(error.facts.checks).length > 0)
    assert.ok((error.next ?? '').length > 0)
    assert.doesNotMatch(error.next!, /--accept/)
  })

  it('names a deny first, of several findings: it hurts now', async () => {
    await open()
    await duplicate()
    const source = client.cluster(sandbox.source.metas)
    await clock.run(source.setEnvs('users', {[DENY]: 'timeout*write'}))
    const {error} = await run(script({verify: 'full'}))
    assert.ok(isMigratorError(error, 'preflight.refused'))
    assert.ok(String(error.facts.checks).split(',').includes('foreign-duplication'))
    assert.match(error.message, /timeout\*write.* \(and \d+ more\)$/)
  })

  describe('asks for', () => {
    it('a risk to be accepted by its name', async () => {
      await open()
      const {error} = await run(script())
      assert.ok(isMigratorError(error, 'preflight.refused'))
      assert.deepEqual(error.facts, {checks: 'metaproxy-proxies'})
      assert.match(error.message, /^users cannot be migrated as things are: no --proxy was given/)
      assert.doesNotMatch(error.message, /more\)$/)
      assert.match(
        error.next!,
        /^If you accept that, run it again with --accept metaproxy-proxies\. name every metaproxy/,
      )
    })

    it('all of them at once', async () => {
      await open()
      await duplicate()
      const {error} = await run(script({accepted: ['something-else'], verify: 'full'}))
      assert.ok(isMigratorError(error, 'preflight.refused'))
      assert.deepEqual(String(error.facts.checks).split(',').sort(), ['foreign-duplication', 'metaproxy-proxies'])
      assert.match(error.message, / \(and 1 more\)$/)
      assert.match(error.next!, /run it again with (--accept [a-z-]+ ?){2}\. /)
    })

    it('a duplication that somebody else made to be accepted', async () => {
      await open()
      await duplicate()
      const refused = script({verify: 'full'})
      const {error} = await run(refused)
      assert.ok(isMigratorError(error, 'preflight.refused'))
      const ids = String(error.facts.checks).split(',')
      assert.ok(ids.includes('foreign-duplication'), ids.join())
      assert.equal(error.message.endsWith(` (and ${ids.length - 1} more)`), ids.length > 1)
      const accepted = script({accepted: ids, verify: 'full'})
      const again = await run(accepted)
      if (again.error) assert.doesNotMatch(String(again.error.facts.checks), /foreign-duplication/)
      const confirms = refused.events.flatMap((event) =>
        event.type === 'check' && event.check.severity === 'confirm' ? [event.check.id] : [],
      )
      const errors = refused.events.some((event) => event.type === 'check' && event.check.severity === 'error')
      if (!errors) {
        assert.deepEqual(ids, confirms)
        assert.ok(
          error.next!.startsWith(
            `If you accept that, run it again with ${ids.map((id) => `--accept ${id}`).join(' ')}. `,
          ),
        )
      }
    })

    it('nothing of one whose adding was never answered: it is ours', async () => {
      await open()
      const dupid = await duplicate()
      const made = script()
      made.context.hints.adding = true
      const {error} = await run(made)
      assert.equal(made.context.hints.dupid, dupid)
      assert.equal(made.state.facts?.ownDupid, dupid)
      if (error) assert.doesNotMatch(String(error.facts.checks), /foreign-duplication/)
    })

    it('and does not take another one for it', async () => {
      await open()
      await duplicate()
      const made = script({targetCluster: 'elsewhere'})
      made.context.hints.adding = true
      await run(made)
      assert.equal(made.context.hints.dupid, undefined)
      const known = script()
      Object.assign(known.context.hints, {adding: true, dupid: 99})
      await run(known)
      assert.equal(known.context.hints.dupid, 99)
    })
  })

  describe('knows a hand-over without a journal', () => {
    const deny = (value: string) => void sandbox.source.table('users').info.envs.set(DENY, value)

    it('where the node names the target and the source is denied', async () => {
      await open()
      const dupid = await duplicate()
      deny('reconfig*all')
      const made = script()
      names(made, REMOTE)
      await run(made)
      const {ownDeny, ownDupid, ownHandOver} = made.state.facts!
      assert.deepEqual([ownDeny, ownDupid, ownHandOver], ['reconfig*all', dupid, true])
    })

    it('and leaves what the journal says of it', async () => {
      await open()
      await duplicate()
      deny('reconfig*all')
      const made = script()
      names(made, REMOTE)
      Object.assign(made.context.hints, {deny: 'timeout*write', dupid: 77})
      await run(made)
      const {ownDeny, ownDupid} = made.state.facts!
      assert.deepEqual([ownDeny, ownDupid], ['timeout*write', 77])
    })

    it('and with whatever deny the source carries: deleting it would open both sides', async () => {
      await open()
      await duplicate()
      deny('reconfig*write')
      const made = script()
      names(made, REMOTE)
      Object.assign(made.context.hints, {deny: 'timeout*write'})
      await run(made)
      const found = made.events.flatMap((event) =>
        event.type === 'check' && event.check.id === 'source-deny' ? [event.check] : [],
      )
      assert.equal(found[0]?.severity, 'ok')
      assert.match(
        found[0].evidence,
        /reconfig\*write: the table was handed over, and the source is closed to everyone/,
      )
    })

    it('not where the node names the source, or the source is open', async () => {
      await open()
      deny('reconfig*all')
      const source = script()
      await run(source)
      assert.equal(source.state.facts!.ownHandOver, undefined)
      sandbox.source.table('users').info.envs.delete(DENY)
      const opened = script()
      names(opened, REMOTE)
      await run(opened)
      assert.equal(opened.state.facts!.ownHandOver, undefined)
    })

    it('where it was finished here, nothing ships, and somebody has opened the source again', async () => {
      await open()
      const made = script()
      made.context.hints.finished = true
      names(made, REMOTE)
      await run(made)
      assert.equal(made.state.facts!.ownHandOver, true)
      await duplicate()
      const shipping = script()
      shipping.context.hints.finished = true
      names(shipping, REMOTE)
      await run(shipping)
      assert.equal(shipping.state.facts!.ownHandOver, undefined)
    })
  })
})
