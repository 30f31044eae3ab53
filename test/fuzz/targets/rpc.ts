import {isMigratorError} from '../../../src/lib/errors.js'
import {type AnyCall, callsByName, dataCalls} from '../../../src/lib/rpc/calls.js'
import {decode, encode, type WireType} from '../../../src/lib/rpc/codec.js'
import {
  decodeArguments,
  decodeRequest,
  decodeResponse,
  decodeResult,
  encodeResponse,
} from '../../../src/lib/rpc/frame.js'
import {MessageReader} from '../../../src/lib/rpc/message-reader.js'
import {packedCalls} from '../../../src/lib/pegasus/row-batch.js'
import {goldenExchanges} from '../../support/golden.js'
import {mutateBytes} from '../mutations.js'
import {below, shapeOf, type Target} from '../target.js'
import {Lies} from '../wire-lies.js'

export const calls: readonly AnyCall[] = [...callsByName.values()]

/** A stream of responses, in pieces whose size the first byte tells. */
export const frames: Target = {
  name: 'frames',
  run(input) {
    const reader = new MessageReader(1 << 20)
    const pieceBytes = 1 + (input[0] ?? 0)
    const seen: string[] = []
    for (let at = 1; at < input.length; at += pieceBytes) {
      for (const message of reader.push(input.subarray(at, at + pieceBytes))) {
        const {error, result} = decodeResponse(message)
        seen.push(error === 'ERR_OK' ? shapeOf(result) : 'error')
      }
    }

    return `${seen.length} ${[...new Set(seen)].join(' ')}`
  },
  seeds: () =>
    goldenExchanges().flatMap(({response}, index) =>
      response && index % 5 === 0 ? [Buffer.concat([Buffer.from([63]), response])] : [],
    ),
}

/** The result of a call; the first byte tells which. */
export const replies: Target = {
  mutate(input, random) {
    if (random() < 0.4) return Buffer.concat([input.subarray(0, 1), mutateBytes(input.subarray(1), random)])
    const index = below(random, calls.length)
    return Buffer.concat([Buffer.from([index]), new Lies(random).wrapped(calls[index]!.response)])
  },
  name: 'replies',
  run(input) {
    const call = calls[(input[0] ?? 0) % calls.length]!
    return `${call.name} ${shapeOf(decodeResult(call.response, input.subarray(1)))}`
  },
  seeds: () =>
    goldenExchanges().flatMap(({response, rpc}) => {
      const index = calls.findIndex(({name}) => name === rpc)
      return response && index !== -1 ? [Buffer.concat([Buffer.from([index]), decodeResponse(response).result])] : []
    }),
}

/** Requests as servers read them: our own stand-in servers take them from anybody, too. */
export const requests: Target = {
  name: 'requests',
  run(input) {
    const {args, head} = decodeRequest(input)
    const call = callsByName.get(head.name)
    return call ? `${head.name} ${shapeOf(decodeArguments(call.request, args))}` : 'unknown call'
  },
  seeds: () => goldenExchanges().map(({request}) => request),
}

const ROW = {key: Buffer.from('k'), value: Buffer.alloc(3)}

/** A scan reply through both of its readers, which must see the same. */
export const scans: Target = {
  mutate: (input, random) =>
    random() < 0.5 ? mutateBytes(input, random) : new Lies(random).value(dataCalls.scan.response),
  name: 'scans',
  run(input) {
    const [plain, plainError] = attempt(dataCalls.scan.response, input)
    const [packed, packedError] = attempt(packedCalls.scan.response, input)
    if (!plain || !packed) {
      if (plain ?? packed) throw new Error(`only one of the readers takes it: ${String(plainError ?? packedError)}`)
      throw packedError
    }

    const rows = (kvs: readonly {expireTsSeconds?: number; key: Buffer; value: Buffer}[]) =>
      kvs.map((row) => `${row.key.toString('hex')} ${row.value.toString('hex')} ${row.expireTsSeconds}`).join()
    if (
      rows(plain.kvs) !== rows(packed.rows.rows()) ||
      plain.contextId !== packed.contextId ||
      plain.error !== packed.error
    )
      throw new Error('the readers see different replies')
    return `rows ${packed.rows.length}`
  },
  seeds: () => [
    encode(dataCalls.scan.response, {
      ...dataCalls.scan.response.zero(),
      contextId: -7n,
      kvs: [ROW, {...ROW, expireTsSeconds: 9}],
    }),
    encode(dataCalls.scan.response, {...dataCalls.scan.response.zero(), kvCount: 3}),
  ],
}

function attempt<T>(type: WireType<T>, input: Buffer): [T | undefined, unknown] {
  try {
    return [decode(type, input), undefined]
  } catch (error) {
    if (!isMigratorError(error)) throw error
    return [undefined, error]
  }
}

/** A whole answer to one call, for those who need one. */
export function frameOf(name: string, seqid: number, result: Buffer): Buffer {
  const head = encodeResponse(name, seqid, 'ERR_OK')
  const bytes = Buffer.concat([head, result])
  bytes.writeInt32BE(bytes.length)
  return bytes
}
