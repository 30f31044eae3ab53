import {Duplex} from 'node:stream'

import {queryProxy} from '../../../src/lib/metaproxy/proxy.js'
import {PegasusClient} from '../../../src/lib/pegasus/client.js'
import {probeRead, probeWrite} from '../../../src/lib/pegasus/probe.js'
import {TableReader} from '../../../src/lib/pegasus/rows.js'
import {dataCalls, metaCalls, serverCalls} from '../../../src/lib/rpc/calls.js'
import type {AnyWireType} from '../../../src/lib/rpc/codec.js'
import {decodeRequest, decodeResponse} from '../../../src/lib/rpc/frame.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {goldenExchanges, goldenHttp} from '../../support/golden.js'
import {mutateJson} from '../json-mutations.js'
import {mutateBytes} from '../mutations.js'
import {below, shapeOf, type Target} from '../target.js'
import {Lies} from '../wire-lies.js'
import {frameOf} from './rpc.js'

const META = '127.0.0.1:34601'
const pid = {appId: 2, partitionIndex: 0}
const limits = {timeoutMs: 1000}

/** A server of a single mind: it sends the same to whoever asks for whatever. */
function clientOf(answer: (request: Buffer) => Buffer | undefined): {client: PegasusClient; clock: VirtualClock} {
  const clock = new VirtualClock()
  const connect = async (): Promise<Duplex> => {
    const stream: Duplex = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        const bytes = answer(chunk)
        if (bytes) setImmediate(() => stream.push(bytes))
        done()
      },
    })
    return stream
  }

  return {client: new PegasusClient({clock, random: () => 0.5, transport: {connect}}), clock}
}

async function consume(batches: AsyncIterable<{length: number}>): Promise<number> {
  let count = 0
  for await (const {length} of batches) {
    count += length
    if (count > 10_000) break
  }

  return count
}

type Ask = (client: PegasusClient) => Promise<unknown>
const table = {appId: 2, partitionCount: 1, partitions: []}

/** Everything that this tool asks by RPC, with the type of the answer. */
const questions: readonly [string, AnyWireType, Ask][] = [
  ['info', metaCalls.clusterInfo.response, (c) => c.cluster([META]).info(limits)],
  ['nodes', metaCalls.listNodes.response, (c) => c.cluster([META]).nodes(limits)],
  ['tables', metaCalls.listApps.response, (c) => c.cluster([META]).table('temp', limits)],
  ['configuration', metaCalls.queryConfig.response, (c) => c.cluster([META]).configuration('temp', limits)],
  ['leader', metaCalls.queryConfig.response, (c) => c.cluster([META]).leader(limits)],
  ['proxy', metaCalls.queryConfig.response, (c) => queryProxy(c.pool, META, 'temp', limits)],
  ['replica count', metaCalls.getMaxReplicaCount.response, (c) => c.cluster([META]).maxReplicaCount('temp', limits)],
  ['set envs', metaCalls.updateAppEnv.response, (c) => c.cluster([META]).setEnvs('temp', {a: 'b'}, limits)],
  ['duplications', metaCalls.queryDuplication.response, (c) => c.cluster([META]).duplications('temp', limits)],
  ['progress of all', metaCalls.listDuplication.response, (c) => c.cluster([META]).listDuplications('temp', limits)],
  ['meta level', metaCalls.controlMeta.response, (c) => c.cluster([META]).metaLevel(limits)],
  ['replicas', serverCalls.queryReplicaInfo.response, (c) => c.cluster([META]).server(META).replicas(limits)],
  [
    'decree',
    serverCalls.queryReplicaDecree.response,
    (c) => c.cluster([META]).server(META).lastCommittedDecree(pid, limits),
  ],
  ['dump', serverCalls.remoteCommand.response, (c) => c.cluster([META]).server(META).configDump(limits)],
  ['query-progress', serverCalls.remoteCommand.response, (c) => c.cluster([META]).server(META).progress(2, limits)],
  ['counters', serverCalls.remoteCommand.response, (c) => c.cluster([META]).server(META).counters('x', limits)],
  ['probe of writes', dataCalls.checkAndSet.response, (c) => probeWrite(c.pool, META, pid, 1, limits)],
  ['probe of reads', dataCalls.get.response, (c) => probeRead(c.pool, META, pid, 1, limits)],
  [
    'scan',
    dataCalls.scan.response,
    (c) => consume(new TableReader(c.pool, table, c.env).scanPartition(pid, META, {...limits, busyMs: 1000})),
  ],
  [
    'count',
    dataCalls.scan.response,
    (c) => new TableReader(c.pool, table, c.env).countPartition(pid, META, {...limits, busyMs: 1000}),
  ],
]

/** The client, when each of its questions is answered with bytes of the fuzzer. The first byte tells the question. */
export const answers: Target = {
  mutate(input, random) {
    if (random() < 0.4) return Buffer.concat([input.subarray(0, 1), mutateBytes(input.subarray(1), random)])
    const index = below(random, questions.length)
    return Buffer.concat([Buffer.from([index]), new Lies(random).wrapped(questions[index]![1])])
  },
  name: 'answers',
  async run(input) {
    const [name, , ask] = questions[(input[0] ?? 0) % questions.length]!
    const result = input.subarray(1)
    const {client, clock} = clientOf((request) => {
      const {head} = decodeRequest(request)
      return frameOf(head.name, head.seqid, result)
    })
    try {
      return `${name} ${shapeOf(await clock.run(ask(client)))}`
    } finally {
      await client.close()
    }
  },
  seeds: () =>
    goldenExchanges().flatMap(({response, rpc}) => {
      if (!response) return []
      const {result} = decodeResponse(response)
      return questions.flatMap(([name], index) =>
        rpcOf[name] === rpc ? [Buffer.concat([Buffer.from([index]), result])] : [],
      )
    }),
}

const rpcOf: Record<string, string> = {
  configuration: metaCalls.queryConfig.name,
  counters: serverCalls.remoteCommand.name,
  duplications: metaCalls.queryDuplication.name,
  dump: serverCalls.remoteCommand.name,
  info: metaCalls.clusterInfo.name,
  leader: metaCalls.queryConfig.name,
  nodes: metaCalls.listNodes.name,
  'progress of all': metaCalls.listDuplication.name,
  proxy: metaCalls.queryConfig.name,
  'query-progress': serverCalls.remoteCommand.name,
  replicas: serverCalls.queryReplicaInfo.name,
  scan: dataCalls.scan.name,
  tables: metaCalls.listApps.name,
}

const pages: readonly [string, Ask][] = [
  ['states', (c) => c.cluster([META]).server(META).duplicationStates(2, limits)],
  ['data versions', (c) => c.cluster([META]).server(META).dataVersions(2, limits)],
  ['config', (c) => c.cluster([META]).server(META).config('x', limits)],
  ['update', (c) => c.cluster([META]).server(META).updateConfig('x', '1', limits)],
  ['version', (c) => c.cluster([META]).server(META).version(limits)],
  ['start', (c) => c.cluster([META]).server(META).startTime(limits)],
  ['metrics', (c) => c.cluster([META]).server(META).metrics(2, ['x'], limits)],
]

/** HTTP answers, head and body. The first byte tells the question. */
export const http: Target = {
  mutate(input, random) {
    const head = input.subarray(0, 1)
    const text = input.subarray(1).toString('utf8')
    const bodyAt = text.indexOf('\r\n\r\n') + 4
    const body = random() < 0.6 && bodyAt > 4 ? mutateJson(text.slice(bodyAt), random) : undefined
    if (body === undefined) return Buffer.concat([head, mutateBytes(input.subarray(1), random)])
    const length = random() < 0.95 ? Buffer.byteLength(body) : 1e9
    const lines = text.slice(0, bodyAt).replace(/Content-Length: \d+/i, `Content-Length: ${length}`)
    return Buffer.concat([head, Buffer.from(lines), Buffer.from(body)])
  },
  name: 'http',
  async run(input) {
    const [name, ask] = pages[(input[0] ?? 0) % pages.length]!
    const {client, clock} = clientOf(() => input.subarray(1))
    try {
      return `${name} ${shapeOf(await clock.run(ask(client)))}`
    } finally {
      await client.close()
    }
  },
  seeds: () =>
    [...goldenHttp('2.5.0'), ...goldenHttp('master')].flatMap(({request, response}) => {
      const index = [
        'duplication?',
        'data_version',
        '/config?',
        '/updateConfig',
        '/version',
        'recentStart',
        '/metrics',
      ].findIndex((part) => request.includes(part))
      return index === -1 || response === '' ? [] : [Buffer.concat([Buffer.from([index]), Buffer.from(response)])]
    }),
}
