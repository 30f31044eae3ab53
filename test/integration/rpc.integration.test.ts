import assert from 'node:assert/strict'
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {type AddressInfo, createServer, type Server, type Socket} from 'node:net'

import {systemClock} from '../../src/lib/clock.js'
import {PegasusClient} from '../../src/lib/pegasus/client.js'
import {TableReader} from '../../src/lib/pegasus/rows.js'
import {dataCalls, metaCalls, serverCalls} from '../../src/lib/rpc/calls.js'
import {NegotiationStatus} from '../../src/lib/rpc/structs/cluster.js'
import {tcpTransport} from '../../src/lib/rpc/transport.js'
import {FakeServer} from '../support/fake-server.js'
import {goldenResult} from '../support/golden.js'
import {httpResponse, rawHttp} from '../support/raw-http.js'

const command = serverCalls.remoteCommand

describe('RPC over real sockets', () => {
  const clients: PegasusClient[] = []
  const listeners: Array<{server: Server; sockets: Set<Socket>}> = []

  async function listen(
    accept: (socket: Socket) => void,
    port = 0,
  ): Promise<{address: string; close(): Promise<void>; sockets: Set<Socket>}> {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => sockets.delete(socket))
      accept(socket)
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    listeners.push({server, sockets})
    const close = async () => {
      for (const socket of sockets) socket.destroy()
      if (!server.listening) return
      server.close()
      await once(server, 'close')
    }

    return {address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close, sockets}
  }

  function client(): PegasusClient {
    const made = new PegasusClient({clock: systemClock, random: Math.random, transport: tcpTransport})
    clients.push(made)
    return made
  }

  const ask = (from: PegasusClient, address: string, cmd = 'x', o: {idempotent?: boolean; timeoutMs?: number} = {}) =>
    from.pool.call(address, command, {args: [], cmd}, {timeoutMs: 5000, ...o})

  afterEach(async () => {
    await Promise.all(clients.splice(0).map((made) => made.close()))
    for (const {server, sockets} of listeners.splice(0)) {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  })

  it('carries a thousand calls at once, answered in any order, on one connection', async () => {
    const held: Array<() => void> = []
    const fake = new FakeServer().on(command, (call) => {
      held.push(() => call.reply(`re: ${call.request.cmd}`))
      if (held.length === 1000) for (const answer of held.reverse()) answer()
    })
    const {address} = await listen(fake.accept)
    const user = client()
    const answers = await Promise.all(Array.from({length: 1000}, (_, n) => ask(user, address, `call ${n}`)))
    assert.deepEqual(
      answers,
      Array.from({length: 1000}, (_, n) => `re: call ${n}`),
    )
    assert.equal(fake.connections, 1)
  })

  it('takes any number of calls with one signal, without a warning', async () => {
    const warnings: Error[] = []
    const onWarning = (warning: Error) => warnings.push(warning)
    process.on('warning', onWarning)
    const {address} = await listen(new FakeServer().on(command, (call) => call.reply('x')).accept)
    const http = await listen(rawHttp(() => httpResponse(200, '{}')))
    const user = client()
    const {signal} = new AbortController()
    const calls = Array.from({length: 50}, (_, n) => [
      user.pool.call(address, command, {args: [], cmd: `${n}`}, {signal, timeoutMs: 5000}),
      user.http.get(http.address, '/configs', {signal, timeoutMs: 5000}),
      user.http.get(http.address, '/configs', {timeoutMs: 5000}),
    ])
    await Promise.all(calls.flat())
    // Warnings are emitted a turn later.
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    process.off('warning', onWarning)
    assert.deepEqual(warnings, [])
  })

  it('carries messages of 20 MB', async () => {
    const text = 'x'.repeat(20_000_000)
    const {address} = await listen(new FakeServer().on(command, (call) => call.reply(text)).accept)
    const user = client()
    const answers = await Promise.all([ask(user, address), ask(user, address)])
    assert.deepEqual(
      answers.map(({length}) => length),
      [20_000_000, 20_000_000],
    )
  })

  it('keeps what arrives on many connections at once apart, although all of them are read into one buffer', async () => {
    const text = (name: string) => `${name} `.repeat(Math.ceil(600_000 / (name.length + 1)))
    const addresses: string[] = []
    for (let index = 0; index < 20; index++) {
      const fake = new FakeServer().on(command, (call) => call.reply(text(`server${index} ${call.request.cmd}`)))
      addresses.push((await listen(fake.accept)).address)
    }

    const user = client()
    for (const cmd of ['first', 'second']) {
      const replies = await Promise.all(addresses.map((address) => ask(user, address, cmd)))
      for (const [index, reply] of replies.entries())
        assert.ok(reply === text(`server${index} ${cmd}`), `server ${index}`)
    }
  })

  it('survives a reset: calls in flight fail with the truth, the next one works', async () => {
    let reset = true
    const fake = new FakeServer().on(command, (call) => {
      if (call.request.cmd === 'warm up') call.reply('ready')
      else if (reset) (call.stream as Socket).resetAndDestroy()
      else call.reply('again')
    })
    const {address} = await listen(fake.accept)
    const user = client()
    assert.equal(await ask(user, address, 'warm up'), 'ready')
    const results = await Promise.allSettled([ask(user, address), ask(user, address, 'x', {idempotent: true})])
    const errors = results.map((result) => (result as PromiseRejectedResult).reason)
    assert.deepEqual(
      errors.map(({code, retrySafe}) => [code, retrySafe]),
      [
        ['rpc.connection_lost', false],
        ['rpc.connection_lost', true],
      ],
    )
    reset = false
    assert.equal(await ask(user, address), 'again')
  })

  it('takes a closed connection for what it is, and a refused one too', async () => {
    const fake = new FakeServer().on(command, (call) => (call.stream as Socket).end())
    const {address, close} = await listen(fake.accept)
    const user = client()
    await assert.rejects(ask(user, address), {code: 'rpc.connection_lost', retrySafe: false})
    await close()
    await assert.rejects(ask(user, address), (error: Error & {code: string; retrySafe: boolean}) => {
      assert.deepEqual([error.code, error.retrySafe], ['rpc.connect', true])
      assert.match(error.message, /ECONNREFUSED/)
      return true
    })
  })

  it('reconnects to a server that was restarted', async () => {
    const fake = new FakeServer().on(command, (call) => call.reply('x'))
    const first = await listen(fake.accept)
    const user = client()
    await ask(user, first.address)
    await first.close()
    await listen(fake.accept, Number(first.address.split(':')[1]))
    // The old connection's end may not have been seen yet: then this one call fails, and says that it is safe.
    const again = await ask(user, first.address, 'x', {idempotent: true}).catch(() => ask(user, first.address))
    assert.equal(again, 'x')
    assert.equal(fake.connections, 2)
  })

  it('names Kerberos where the server demands it', async () => {
    const fake = new FakeServer()
      .on(metaCalls.queryConfig, (call) => call.cut())
      .always(serverCalls.negotiation, {
        msg: Buffer.from('GSSAPI'),
        status: NegotiationStatus.SASL_LIST_MECHANISMS_RESP,
      })
    const {address} = await listen(fake.accept)
    await assert.rejects(client().cluster([address]).info(), /requires Kerberos \(SASL\) authentication/)
  })

  it('finds the leader among a dead, a silent and a following meta', async () => {
    const dead = await listen(() => {})
    await dead.close()
    const silent = await listen(() => {})
    const following = new FakeServer().always(
      metaCalls.queryConfig,
      goldenResult('2.5.0', 'query_config.follower_missing', metaCalls.queryConfig),
    )
    following.on(metaCalls.queryConfig, (call) => {
      const reply = goldenResult('2.5.0', 'query_config.follower_missing', metaCalls.queryConfig)
      call.reply({...reply, partitions: reply.partitions.map((partition) => ({...partition, primary: leader.address}))})
    })
    const leading = new FakeServer()
      .always(metaCalls.queryConfig, goldenResult('2.5.0', 'query_config.missing', metaCalls.queryConfig))
      .always(metaCalls.clusterInfo, goldenResult('2.5.0', 'cluster_info', metaCalls.clusterInfo))
    const leader = await listen(leading.accept)
    const follower = await listen(following.accept)
    const cluster = client().cluster([dead.address, silent.address, follower.address])
    assert.equal((await cluster.info()).clusterName, 'onebox')
    assert.equal(await cluster.leader(), leader.address)
  })

  it('scans what a real server sent, with a negative context id', async () => {
    const first = goldenResult('2.5.0', 'scan.1_get_scanner', dataCalls.getScanner)
    const second = goldenResult('2.5.0', 'scan.2_scan', dataCalls.scan)
    const fake = new FakeServer()
      .always(dataCalls.getScanner, {...first, contextId: -7_640_162_296_009_850_876n})
      .on(dataCalls.scan, (call) => {
        assert.equal(call.request.contextId, -7_640_162_296_009_850_876n)
        call.reply({...second, contextId: -1n})
      })
    const {address} = await listen(fake.accept)
    const reader = new TableReader(client().pool, {appId: 1, partitionCount: 1, partitions: []}, {clock: systemClock})
    let rows = 0
    for await (const batch of reader.scanPartition({appId: 1, partitionIndex: 0}, address)) rows += batch.length
    assert.equal(rows, first.kvs.length + second.kvs.length)
  })

  it('gets HTTP answers and closes each connection', async () => {
    const body = JSON.stringify({0: {data_version: '1'}})
    const {address, sockets} = await listen(rawHttp(() => httpResponse(200, body)))
    const server = client().cluster([address]).server(address)
    const versions = await Promise.all(Array.from({length: 20}, () => server.dataVersions(1)))
    assert.ok(versions.every((version) => version.get(0) === '1'))
    while (sockets.size > 0) await once([...sockets][0]!, 'close')
  })

  it('tells an HTTP reset and an HTTP silence apart', async () => {
    const {address} = await listen((socket) => socket.once('data', () => socket.resetAndDestroy()))
    const silent = await listen((socket) => socket.resume())
    const {http} = client()
    await assert.rejects(http.get(address, '/version', {timeoutMs: 5000}), {code: 'http.connection'})
    await assert.rejects(http.get(silent.address, '/version', {timeoutMs: 100}), {code: 'http.timeout'})
    while (silent.sockets.size > 0) await once([...silent.sockets][0]!, 'close')
  })

  it('close() leaves no socket open', async () => {
    const fake = new FakeServer().on(command, (call) => call.request.cmd === 'x' && call.reply('x'))
    const {address, sockets} = await listen(fake.accept)
    const user = client()
    await ask(user, address)
    const hanging = ask(user, address, 'never answered')
    const failed = assert.rejects(hanging, {code: 'rpc.connection_lost'})
    await user.close()
    await failed
    while (sockets.size > 0) await once([...sockets][0]!, 'close')
  })

  it('lets the process exit after close(), with calls and connects still under way', async () => {
    const {address} = await listen(new FakeServer().on(command, () => {}).accept)
    const script = `
      import {systemClock} from './src/lib/clock.js'
      import {PegasusClient} from './src/lib/pegasus/client.js'
      import {tcpTransport} from './src/lib/rpc/transport.js'
      const client = new PegasusClient({clock: systemClock, random: Math.random, transport: tcpTransport})
      const cluster = client.cluster(['${address}'])
      const call = cluster.server('${address}').command('x', [], {timeoutMs: 600_000})
      const info = cluster.info({patienceMs: 600_000})
      const settled = Promise.allSettled([call, info])
      setTimeout(async () => {
        await client.close()
        const codes = (await settled).map((result) => result.reason.code)
        console.log(codes.join(' '))
      }, 200)
    `
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: new URL('../..', import.meta.url),
      // The coverage of a program from text would spoil the figures of the files.
      env: {...process.env, NODE_V8_COVERAGE: undefined},
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const killer = systemClock.setTimer(15_000, () => child.kill('SIGKILL'))
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    const [code, signal] = (await once(child, 'close')) as [number, string]
    killer.cancel()
    assert.deepEqual({code, output, signal}, {code: 0, output: 'rpc.connection_lost rpc.aborted\n', signal: null})
  })
})
