import {readFileSync} from 'node:fs'

import {serverCalls} from '../../src/lib/rpc/calls.js'
import type {WireType} from '../../src/lib/rpc/codec.js'
import {decodeResponse, decodeResult} from '../../src/lib/rpc/frame.js'

/** A line of `test/golden/rpc-*.jsonl`: bytes that real servers sent and took. */
export interface GoldenExchange {
  case: string
  file: string
  header: 'v0' | 'v1'
  line: number
  request: Buffer
  response: Buffer | undefined
  rpc: string
  rpcError: string | null
  to: string
}

/** A line of `test/golden/http-*.jsonl`. */
export interface GoldenHttp {
  case: string
  file: string
  note: string
  /** Whole message, head and body; empty when the server closed the connection. */
  request: string
  response: string
}

function lines(file: string): Array<Record<string, string | null>> {
  const text = readFileSync(new URL(`../golden/${file}`, import.meta.url), 'utf8')
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, string | null>)
}

/** Every captured exchange of 2.5.0 and master, in order. */
export function goldenExchanges(): GoldenExchange[] {
  return ['rpc-2.5.0.jsonl', 'rpc-master.jsonl'].flatMap((file) =>
    lines(file).map((line, index) => ({
      case: line.case!,
      file,
      header: line.header as 'v0' | 'v1',
      line: index + 1,
      request: Buffer.from(line.request!, 'hex'),
      response: line.response === null ? undefined : Buffer.from(line.response!, 'hex'),
      rpc: line.rpc!,
      rpcError: line.rpc_error ?? null,
      to: line.to!,
    })),
  )
}

/** The exchange of one case; the first one with a version 1 header where there is such. */
export function goldenExchange(version: '2.5.0' | 'master', name: string): GoldenExchange {
  const found = goldenExchanges().filter((exchange) => exchange.file.includes(version) && exchange.case === name)
  const best = found.find((exchange) => exchange.header === 'v1') ?? found[0]
  if (!best) throw new Error(`no golden case ${name} of ${version}`)
  return best
}

export function goldenHttp(version: '2.5.0' | 'master'): GoldenHttp[] {
  const file = `http-${version}.jsonl`
  return lines(file).map((line) => ({
    case: line.case!,
    file,
    note: line.note ?? '',
    request: line.request!,
    response: line.response ?? '',
  }))
}

/** The result of a case, decoded. */
export function goldenResult<S>(version: '2.5.0' | 'master', name: string, call: {response: WireType<S>}): S {
  const {response} = goldenExchange(version, name)
  return decodeResult(call.response, decodeResponse(response!).result)
}

/** The text that a remote command answered. */
export function goldenText(version: '2.5.0' | 'master', name: string): string {
  return goldenResult(version, name, serverCalls.remoteCommand)
}
