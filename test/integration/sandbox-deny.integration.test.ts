import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import {DENY_ENV} from '../sandbox/replica/deny.js'
import {type Bed, onBed, smallTable} from '../sandbox/test-bed.js'

/** From the env's OK until each server's primaries refuse; probes each 50 ms, as measured.md §2. */
async function spreadMs({client, clock, sandbox}: Bed, value: string | undefined): Promise<number[]> {
  const {source} = sandbox
  await (value === undefined ? client.deleteEnv(source, 't', DENY_ENV) : client.setEnv(source, 't', DENY_ENV, value))
  const wanted = value === undefined ? 'OK' : 'ERR_INVALID_STATE'
  const startMs = clock.nowMs()
  const keys = [0, 1, 2, 3].map((partition) => client.keyIn(source, 't', partition))
  return Promise.all(
    keys.map(async (key) => {
      const seen = async () => (await client.outcome(client.put(source, 't', key, 'x'))) === wanted
      await client.until(seen, 40_000, `${key} ${wanted}`)
      return clock.nowMs() - startMs
    }),
  )
}

describe('sandbox: the deny and the sync that carries it', () => {
  it(
    'reaches the primaries within 30 s, each server in its own phase (measured.md §2)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const spreads = await spreadMs(bed, 'reconfig*write')
      assert.ok(Math.max(...spreads) <= 30_100, String(spreads))
      assert.ok(new Set(spreads).size > 1, 'all servers in one phase')
      const lifted = await spreadMs(bed, undefined)
      assert.ok(Math.max(...lifted) > 10_000 && Math.max(...lifted) <= 30_100, String(lifted))
    }),
  )

  it(
    'counts a lowered interval only after the tick that was scheduled, then within 1 s (measured.md §1)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      const {source} = sandbox
      // Just after their ticks: the trap is widest.
      await spreadMs(bed, 'reconfig*write')
      for (const {address} of source.servers) {
        const answer = await client.updateConfig(address, 'config_sync_interval_ms', '1000')
        assert.equal(answer.body, '{"update_status":"ERR_OK"}\n')
      }

      const first = await spreadMs(bed, undefined)
      assert.ok(Math.max(...first) > 5000, `the pending tick was brought forward: ${first}`)
      await sleep(clock, 31_000)
      for (const value of ['reconfig*write', undefined]) {
        const spreads = await spreadMs(bed, value)
        assert.ok(Math.max(...spreads) <= 1100, String(spreads))
      }
    }),
  )

  it(
    'forgets a lowered interval when the server restarts (measured.md §10)',
    onBed({}, async ({client, clock, sandbox}) => {
      const {address} = sandbox.source.servers[0]!
      await client.updateConfig(address, 'config_sync_interval_ms', '1000')
      assert.match((await client.http(address, '/config?name=config_sync_interval_ms')).body, /"value":"1000"/)
      await sandbox.source.killServer(address)
      await sleep(clock, 2000)
      await sandbox.source.startServer(address)
      assert.match((await client.http(address, '/config?name=config_sync_interval_ms')).body, /"value":"30000"/)
    }),
  )

  it(
    'on master says ERR_OK and shows the new interval, and nothing changes (measured-master.md §1)',
    onBed({profile: 'master'}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      for (const {address} of sandbox.source.servers) {
        const answer = await client.updateConfig(address, 'config_sync_interval_ms', '1000')
        assert.equal(answer.body, '{"update_status":"ERR_OK"}\n')
        assert.match((await client.http(address, '/config?name=config_sync_interval_ms')).body, /"value":"1000"/)
      }

      await sleep(clock, 61_000)
      await spreadMs(bed, 'reconfig*write')
      assert.ok(Math.max(...(await spreadMs(bed, undefined))) > 10_000)
    }),
  )

  it(
    'has no such flag on 2.4, only the config file shows it (protocol.md §13)',
    onBed({profile: '2.4'}, async ({client, sandbox}) => {
      const {address} = sandbox.source.servers[0]!
      const {body} = await client.http(address, '/config?name=config_sync_interval_ms')
      assert.equal(body, 'ERR_OBJECT_NOT_FOUND: config_sync_interval_ms is not found')
      assert.match(await client.command(address, 'config-dump'), /\[replication][^[]*config_sync_interval_ms = 30000\n/)
    }),
  )

  for (const [value, write, read] of [
    ['reconfig*all', 'ERR_INVALID_STATE', 'ERR_INVALID_STATE'],
    ['reconfig*read', 'OK', 'ERR_INVALID_STATE'],
    ['reconfig*write', 'ERR_INVALID_STATE', 'OK'],
    ['timeout*all', 'ERR_TIMEOUT', 'ERR_TIMEOUT'],
    ['timeout*read', 'OK', 'ERR_TIMEOUT'],
    ['timeout*write', 'ERR_TIMEOUT', 'OK'],
  ] as const) {
    it(
      `${value}: writes ${write}, reads ${read}`,
      onBed({}, async (bed) => {
        await smallTable(bed)
        const {client, clock, sandbox} = bed
        await client.setEnv(sandbox.source, 't', DENY_ENV, value)
        await sleep(clock, 31_000)
        assert.equal(await client.outcome(client.put(sandbox.source, 't', 'row1', 'x')), write)
        assert.equal(await client.outcome(client.get(sandbox.source, 't', 'row1')), read)
        // The connection that swallowed a call answers others.
        assert.match(await client.command(sandbox.source.primaryOf('t', 0)!, 'server-info'), /^Pegasus Server/)
      }),
    )
  }

  it(
    'is held by secondaries, and unknown to a replica opened anew until its next sync (protocol.md §13)',
    onBed({servers: 4}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      const {source} = sandbox
      await client.setEnv(source, 't', DENY_ENV, 'reconfig*write')
      await sleep(clock, 31_000)
      const key = client.keyIn(source, 't', 0)
      const [membership] = source.table('t').memberships
      source.movePrimary('t', 0, membership!.secondaries[0]!)
      assert.equal(await client.outcome(client.put(source, 't', key, 'x')), 'ERR_INVALID_STATE')
      const outsider = source.servers.find(
        (s) => ![membership!.primary, ...membership!.secondaries].includes(s.address),
      )!
      source.movePrimary('t', 0, outsider.address)
      assert.equal(await client.outcome(client.put(source, 't', key, 'x')), 'OK')
      await sleep(clock, 31_000)
      assert.equal(await client.outcome(client.put(source, 't', key, 'x')), 'ERR_INVALID_STATE')
    }),
  )

  it(
    'never reaches a server whose ticks are stopped',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      const {source} = sandbox
      const stuck = source.primaryOf('t', 0)!
      source.stopTicks(stuck)
      await client.setEnv(source, 't', DENY_ENV, 'reconfig*write')
      await sleep(clock, 120_000)
      const outcomes = await Promise.all(
        [0, 1, 2, 3].map(async (partition) => {
          const key = client.keyIn(source, 't', partition)
          const outcome = await client.outcome(client.put(source, 't', key, 'x'))
          return source.primaryOf('t', partition) === stuck ? `stuck ${outcome}` : outcome
        }),
      )
      assert.deepEqual([...new Set(outcomes)].sort(), ['ERR_INVALID_STATE', 'stuck OK'])
    }),
  )

  it(
    'throttling that rejects answers ERR_BUSY',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await client.setEnv(sandbox.source, 't', 'replica.write_throttling', '8*reject*0')
      await sleep(clock, 31_000)
      const key = client.keyIn(sandbox.source, 't', 0)
      const outcomes = []
      for (let i = 0; i < 5; i++) outcomes.push(await client.outcome(client.put(sandbox.source, 't', key, 'x')))
      assert.deepEqual(outcomes, ['OK', 'OK', 'OK', 'ERR_BUSY', 'ERR_BUSY'])
    }),
  )
})
