import {sleep} from '../../../src/lib/clock.js'
import type {GoldenHttp} from '../../support/golden.js'
import type {VirtualClock} from '../index.js'
import type {Transport} from '../../../src/lib/rpc/transport.js'
import {plain, shapeDifferences} from './shape.js'

const SILENCE_MS = 3000

export interface HttpReplayOptions {
  address: string
  clock: VirtualClock
  /** Texts of the golden bed that become the sandbox's, in order. */
  replace: ReadonlyArray<readonly [RegExp, string]>
  transport: Transport
}

/** Sends a golden HTTP request. @returns where the answer differs in status, headers, or the shape of its body */
export async function httpDifferences(golden: GoldenHttp, options: HttpReplayOptions): Promise<string[]> {
  let {request} = golden
  for (const [from, to] of options.replace) request = request.replace(from, to)
  const response = await exchange(request, options)
  if (golden.response === '') return response === '' ? [] : [`"${response}" where the connection is closed`]
  const [want, got] = [split(golden.response), split(response)]
  if (want.head !== got.head) return [`head "${want.head}" is "${got.head}"`]
  const [a, b] = [parse(want.body), parse(got.body)]
  if (a === undefined || b === undefined) {
    return plain(want.body) === plain(got.body) ? [] : [`body "${want.body}" is "${got.body}"`]
  }

  // The real servers have hundreds of flags and paths more: what the sandbox shows must be of the same kind.
  if (golden.case.startsWith('configs') || golden.case.startsWith('root') || golden.case.startsWith('envs.list')) {
    return listing(a as Record<string, unknown>, b as Record<string, unknown>)
  }

  const keyed = shapeDifferences(anonymous(a), anonymous(b))
  return golden.case.startsWith('updateConfig') && want.body !== got.body
    ? [...keyed, `"${want.body}" is "${got.body}"`]
    : keyed
}

/** The same entry keys wherever both have an entry; nothing under a name that real servers lack. */
function listing(a: Record<string, unknown>, b: Record<string, unknown>): string[] {
  return Object.keys(b).flatMap((key) => (key in a ? shapeDifferences(anonymous(a[key]), anonymous(b[key]), key) : []))
}

function split(message: string): {body: string; head: string} {
  const at = message.indexOf('\r\n\r\n')
  const head = plain(message.slice(0, at))
  return {body: message.slice(at + 4), head}
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** Keys that are ids or addresses become one key, so that objects of different beds compare. */
function anonymous(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((v) => anonymous(v))
  if (!value || typeof value !== 'object') return value
  const entries = Object.entries(value).map(
    ([key, v]) => [plain(key).replaceAll(/N(\.N)?/g, '<id>'), anonymous(v)] as const,
  )
  return Object.fromEntries(entries)
}

async function exchange(request: string, {address, clock, transport}: HttpReplayOptions): Promise<string> {
  const stream = await transport.connect(address, new AbortController().signal)
  let received = ''
  const ended = new Promise<string>((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      received += chunk.toString('utf8')
      const length = /Content-Length: (\d+)/.exec(received)?.[1]
      const at = received.indexOf('\r\n\r\n')
      if (length !== undefined && at !== -1 && Buffer.byteLength(received.slice(at + 4)) >= Number(length))
        resolve(received)
    })
    stream.on('close', () => resolve(received))
  })
  stream.on('error', () => {})
  stream.write(request)
  const text = await Promise.race([ended, sleep(clock, SILENCE_MS).then(() => 'silence')])
  stream.destroy()
  return text
}
