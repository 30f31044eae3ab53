import type {Duplex} from 'node:stream'

import {sleep} from '../../../src/lib/clock.js'
import {callsByName, dataCalls, metaCalls, serverCalls} from '../../../src/lib/rpc/calls.js'
import {
  decodeArguments,
  decodeRequest,
  type DecodedResponse,
  decodeResponse,
  decodeResult,
  encodeRequest,
  encodeRequestBody,
  type RequestHead,
  responseLength,
} from '../../../src/lib/rpc/frame.js'
import type {GoldenExchange} from '../../support/golden.js'
import type {Sandbox, VirtualClock} from '../index.js'
import {shapeDifferences} from './shape.js'
import {textDifferences} from './text-shape.js'

/** Longer than any golden request was waited for. */
const SILENCE_MS = 6000

/** Which table of the sandbox stands for which table id of the golden bed. */
export type TableNames = Record<number, string>

/** Sends golden requests to a sandbox, ids and routes changed to fit, and compares the answers. */
export class Replay {
  private readonly contexts = new Map<bigint, bigint>()

  constructor(
    private readonly sandbox: Sandbox,
    private readonly clock: VirtualClock,
    private readonly tables: TableNames,
  ) {}

  /** @returns where the sandbox's answer differs from the golden one */
  async differences(golden: GoldenExchange): Promise<string[]> {
    const {body, head} = decodeRequest(golden.request)
    const call = callsByName.get(golden.rpc)
    const bytes = call ? this.rebuild(golden, head) : golden.request
    const answer = await this.exchange(this.route(golden, head), bytes)
    if (golden.response === undefined) return answer === undefined ? [] : ['an answer where there is none']
    if (answer === undefined) return [`no answer to ${body.length} bytes`]
    const expected = decodeResponse(golden.response)
    const found = decodeResponse(answer)
    const layer = this.layerDifferences(expected, found)
    if (layer.length > 0 || !call || expected.result.length === 0) return layer
    const [want, got] = [decodeResult(call.response, expected.result), decodeResult(call.response, found.result)]
    this.learnContext(want, got)
    if (golden.rpc === serverCalls.remoteCommand.name) {
      const {cmd} = decodeArguments(serverCalls.remoteCommand.request, decodeRequest(golden.request).args)
      return textDifferences(cmd, want as string, got as string)
    }

    return shapeDifferences(want, got)
  }

  private layerDifferences(expected: DecodedResponse, found: DecodedResponse): string[] {
    const differ = (what: string, a: unknown, b: unknown) => (a === b ? [] : [`${what}: ${String(a)} is ${String(b)}`])
    return [
      ...differ('RPC-level error', expected.error, found.error),
      ...differ('name', expected.name, found.name),
      ...differ('result present', expected.result.length > 0, found.result.length > 0),
    ]
  }

  private tableId(goldenId: number): number {
    const name = this.tables[goldenId]
    return name === undefined ? goldenId : this.sandbox.source.table(name).info.appId
  }

  private rebuild(golden: GoldenExchange, head: RequestHead): Buffer {
    const call = callsByName.get(golden.rpc)!
    const request = this.fit(golden, decodeArguments(call.request, decodeRequest(golden.request).args))
    const fitted = {...head, pid: {...head.pid, appId: this.tableId(head.pid.appId)}}
    if (golden.header === 'v1') return encodeRequest(fitted, call.request, request)
    const body = encodeRequestBody(head.name, head.seqid, call.request, request)
    const header = Buffer.from(golden.request.subarray(0, 48))
    header.writeUInt32BE(body.length, 16)
    header.writeInt32BE(fitted.pid.appId, 24)
    header.writeUInt32BE((fitted.pid.appId * 7919 + fitted.pid.partitionIndex) >>> 0, 36)
    return Buffer.concat([header, body])
  }

  /** Ids that belong to the golden bed become the sandbox's. */
  private fit(golden: GoldenExchange, request: unknown): unknown {
    if (golden.rpc === metaCalls.modifyDuplication.name) {
      const modify = request as {appName: string; dupid: number}
      if (modify.dupid < 1e9) return modify
      const table = this.sandbox.source.state.tableNamed(modify.appName)
      const [duplication] = table ? this.sandbox.source.state.duplications.of(table.info.appId) : []
      return {...modify, dupid: duplication?.dupid ?? modify.dupid}
    }

    if (golden.rpc === dataCalls.scan.name) {
      const {contextId} = request as {contextId: bigint}
      return {contextId: this.contexts.get(contextId) ?? contextId}
    }

    if (golden.rpc === dataCalls.clearScanner.name) return this.contexts.get(request as bigint) ?? request
    if (golden.rpc === serverCalls.remoteCommand.name) {
      const {args, cmd} = request as {args: string[]; cmd: string}
      return {args: cmd === 'replica.query-progress' ? args.map((id) => String(this.tableId(Number(id)))) : args, cmd}
    }

    return request
  }

  private learnContext(want: unknown, got: unknown): void {
    const id = (v: unknown) => (v && typeof v === 'object' && 'contextId' in v ? (v.contextId as bigint) : undefined)
    const [a, b] = [id(want), id(got)]
    if (a !== undefined && b !== undefined) this.contexts.set(a, b)
  }

  private route({case: name, to}: GoldenExchange, head: RequestHead): string {
    const {source, target} = this.sandbox
    if (to === 'meta-leader') return source.leader!.address
    if (to === 'meta-follower') return source.metaServers.find((m) => !m.leads)!.address
    if (to === 'target-meta') return target.leader!.address
    const table = source.state.tables.get(this.tableId(head.pid.appId))
    const membership = head.pid.appId === 0 ? undefined : table?.memberships[head.pid.partitionIndex]
    const secondary = name.includes('not_primary') ? membership?.secondaries[0] : undefined
    return secondary ?? membership?.primary ?? source.servers.find((s) => s.alive)!.address
  }

  private async exchange(address: string, bytes: Buffer): Promise<Buffer | undefined> {
    const stream: Duplex = await this.sandbox.transport.connect(address, new AbortController().signal)
    try {
      let received: Buffer = Buffer.alloc(0)
      const answered = new Promise<Buffer>((resolve) => {
        stream.on('data', (chunk: Buffer) => {
          received = Buffer.concat([received, chunk])
          const length = responseLength(received, 1 << 28)
          if (length !== undefined && received.length >= length) resolve(received.subarray(0, length))
        })
      })
      stream.on('error', () => {})
      stream.write(bytes)
      return await Promise.race([answered, sleep(this.clock, SILENCE_MS).then(() => undefined)])
    } finally {
      stream.destroy()
    }
  }
}
