import assert from 'node:assert/strict'

import {isMigratorError} from '../../../src/lib/errors.js'
import {
  at,
  bool,
  byte,
  decode,
  encode,
  encodeWrapped,
  i16,
  i32,
  i64,
  int53,
  list,
  map,
  opt,
  string,
  struct,
  type WireType,
} from '../../../src/lib/rpc/codec.js'
import {blob, errorCode, formatGpid, gpid, hostPort, rpcAddress, taskCode} from '../../../src/lib/rpc/custom-types.js'
import {
  decodeArguments,
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  requestLength,
  responseLength,
} from '../../../src/lib/rpc/frame.js'
import {malformed, MemoryReader, MemoryWriter} from '../../../src/lib/rpc/memory-transport.js'
import {MessageReader} from '../../../src/lib/rpc/message-reader.js'
import {createWriter, decodeWith} from '../../../src/lib/rpc/protocol.js'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

/** The message of a refusal, without its beginning. */
function refusal(run: () => unknown): string {
  let value: unknown
  try {
    value = run()
  } catch (error) {
    assert.ok(isMigratorError(error, 'rpc.malformed', 'rpc.too_large'), String(error))
    return error.message.replace('malformed message: ', '')
  }

  throw new assert.AssertionError({actual: value, message: 'it was taken'})
}

const numbers = list(i32)
const names = map(string, i32)
const pair = struct('pair', {first: at(1, i32), second: opt(2, string)})

/* The exact words: `rpc.malformed` alone does not tell which of several guards spoke. */
describe('what the codec refuses, and how it says so', () => {
  const cases: [string, WireType<never>, string, string][] = [
    ['a list of 10^9', numbers, '08 3b9aca00', 'list claims 1000000000 elements, 0 bytes left'],
    ['a list of -1', numbers, '08 ffffffff', 'list claims -1 elements, 0 bytes left'],
    ['one more than there is room for', numbers, '08 00000002 00000001', 'list claims 2 elements, 4 bytes left'],
    ['a map of 10^9', names, '0b 08 3b9aca00', 'map claims 1000000000 elements, 0 bytes left'],
    ['a map of -1', names, '0b 08 ffffffff', 'map claims -1 elements, 0 bytes left'],
    ['a map of 2 in the room of one', names, '0b 08 00000002 0000000000000000', 'map claims 2 elements, 8 bytes left'],
    ['elements of another type', numbers, '0b 00000001 00000001', 'list element: wire type 11 where 8 belongs'],
    ['keys of another type', names, '08 08 00000001 0000000000000000', 'map key: wire type 8 where 11 belongs'],
    ['values of another type', names, '0b 0b 00000001 0000000000000000', 'map value: wire type 11 where 8 belongs'],
    ['a field of another type', pair, '0a 0001 0000000000000000 00', 'pair.first: wire type 10 where 8 belongs'],
    ['bytes left over', i32, '00000001 0000', '2 bytes left over'],
    ['an i64 that would be rounded', int53, '0020000000000001', 'i64 9007199254740992 out of range'],
    ['an address of a group', rpcAddress, '7f000001 8729 0002', 'rpc_address of type 2'],
    ['a text that is cut short', string, '00000005 4142', '5 bytes wanted at offset 4, 2 left'],
    ['a text of 2^31', string, '7fffffff', '2147483647 bytes wanted at offset 4, 0 left'],
    ['a text of negative length', string, '80000000', 'Negative string size'],
    ['bytes of negative length', blob, '80000000', '-2147483648 bytes wanted at offset 4, 0 left'],
    ['a struct without an end', pair, '08 0001 00000001', '1 bytes wanted at offset 7, 0 left'],
  ] as unknown as [string, WireType<never>, string, string][]
  for (const [what, type, bytes, message] of cases) {
    it(what, () =>
      assert.equal(
        refusal(() => decode(type, hex(bytes))),
        message,
      ),
    )
  }

  it('takes a list and a map that just fit, and empty ones of any type', () => {
    assert.deepEqual(decode(numbers, hex('08 00000001 00000007')), [7])
    assert.deepEqual(decode(numbers, hex('02 00000000')), [])
    assert.deepEqual(decode(names, hex('0b 08 00000001 00000000 00000007')), new Map([['', 7]]))
    assert.deepEqual(decode(names, hex('02 02 00000000')), new Map())
    assert.equal(decode(int53, hex('001fffffffffffff')), Number.MAX_SAFE_INTEGER)
  })

  it('takes two million elements in one message, and not one more', () => {
    const flags = list(bool)
    const of = (count: number) => {
      const bytes = Buffer.alloc(5 + count, 1)
      bytes[0] = bool.typeId
      bytes.writeInt32BE(count, 1)
      return bytes
    }

    assert.equal(decode(flags, of(2_000_000)).length, 2_000_000)
    assert.equal(
      refusal(() => decode(flags, of(2_000_001))),
      'more than 2000000 values in one message',
    )
    const nested = Buffer.concat([hex('0f 00000002'), of(1_000_001), of(1_000_001)])
    assert.equal(
      refusal(() => decode(list(flags), nested)),
      'more than 2000000 values in one message',
    )
  })

  it('counts a struct for its fields, present or not: an empty one is a byte on the wire', () => {
    const of = (count: number) => {
      const bytes = Buffer.alloc(5 + count)
      bytes[0] = pair.typeId
      bytes.writeInt32BE(count, 1)
      return bytes
    }

    assert.equal(decode(list(pair), of(666_666)).length, 666_666)
    assert.equal(
      refusal(() => decode(list(pair), of(666_667))),
      'more than 2000000 values in one message',
    )
    const entries = Buffer.concat([hex('08 0c 0007a121'), Buffer.alloc(500_001 * 5)])
    assert.equal(
      refusal(() => decode(map(i32, pair), entries)),
      'more than 2000000 values in one message',
    )
  })

  it('names the wrapper whose type or end is wrong', () => {
    const read = (bytes: string) => refusal(() => decodeArguments(i32, hex(bytes)))
    assert.equal(read('0b 0000 00000001 00'), 'argument or result: wire type 11 where 8 belongs')
    assert.equal(read('08 0000 00000001 08 0001 00000001'), 'end of argument or result: wire type 8 where 0 belongs')
    assert.equal(read('08 0000 00000001 00 ffff'), '2 bytes after the arguments')
    assert.equal(decodeArguments(i32, hex('08 0000 00000001 00')), 1)
  })

  it('does not write a struct without its required fields', () => {
    const broken = {second: 'x'} as never
    assert.throws(() => encode(pair, broken), new TypeError('pair.first is required'))
    assert.deepEqual(encode(pair, {first: 1}), hex('08 0001 00000001 00'))
  })

  it('writes fields in the order of their ids, whatever the order of the declaration', () => {
    const turned = struct('turned', {last: at(9, byte), first: at(1, i16), middle: at(3, bool)})
    const value = {first: -2, last: 1, middle: true}
    assert.deepEqual(encode(turned, value), hex('06 0001 fffe 02 0003 01 03 0009 01 00'))
    assert.deepEqual(decode(turned, encode(turned, value)), value)
  })

  it('reads what is absent as nothing', () => {
    const all = struct('all', {
      a: at(1, bool),
      b: at(2, byte),
      c: at(3, i16),
      d: at(4, i32),
      e: at(5, string),
      f: at(6, i64),
      g: at(7, int53),
      h: at(8, list(i32)),
      i: at(9, map(i32, i32)),
      j: at(10, errorCode),
      k: at(11, blob),
      l: at(12, gpid),
      m: at(13, rpcAddress),
      n: at(14, hostPort),
      o: at(15, taskCode),
      p: opt(16, i32),
    })
    assert.deepEqual(decode(all, hex('00')), {
      a: false,
      b: 0,
      c: 0,
      d: 0,
      e: '',
      f: 0n,
      g: 0,
      h: [],
      i: new Map(),
      j: 'ERR_UNKNOWN',
      k: Buffer.alloc(0),
      l: {appId: 0, partitionIndex: 0},
      m: null,
      n: {host: '', port: 0, type: 0},
      o: '',
    })
  })

  it('says of an address that cannot be written what it was', () => {
    const bad = [
      'x1.2.3.4:5',
      '1.2.3.4:5x',
      '1.2.3.256:5',
      '256.2.3.4:5',
      '1.2.3.4:65536',
      '1.2.3:4',
      'localhost:1',
      '',
    ]
    for (const address of bad)
      assert.throws(() => encode(rpcAddress, address), new TypeError(`not an IPv4 address with port: ${address}`))
    for (const address of ['255.255.255.255:65535', '0.0.0.1:0'])
      assert.equal(decode(rpcAddress, encode(rpcAddress, address)), address)
    assert.equal(formatGpid({appId: 2, partitionIndex: 3}), '2.3')
  })
})

describe('what frames refuse, and how they say so', () => {
  const head = {
    clientTimeoutMs: 1,
    isBackupRequest: true,
    name: 'X',
    partitionHash: 0n,
    pid: {appId: 0, partitionIndex: 0},
    seqid: 1,
  }
  const request = encodeRequest(head, i32, 5)
  const version0 = Buffer.concat([hex('54484654 00000000 00000030 00000000'), Buffer.alloc(32), request.subarray(-20)])

  it('waits until it knows the length', () => {
    assert.equal(requestLength(request.subarray(0, 15)), undefined)
    assert.equal(requestLength(request.subarray(0, 16)), request.length)
    version0.writeInt32BE(20, 16)
    assert.equal(requestLength(version0.subarray(0, 19)), undefined)
    assert.equal(requestLength(version0.subarray(0, 20)), 68)
    assert.equal(responseLength(hex('000000'), 100), undefined)
    assert.equal(responseLength(hex('00000018'), 100), 24)
    assert.equal(responseLength(hex('00000064'), 100), 100)
  })

  it('refuses what is no request', () => {
    const other = (at: number, value: number) => {
      const bytes = Buffer.from(request)
      bytes.writeInt32BE(value, at)
      return bytes
    }

    assert.equal(
      refusal(() => requestLength(other(0, 1))),
      'request does not begin with THFT',
    )
    assert.equal(
      refusal(() => requestLength(other(4, 2))),
      'request header version 2',
    )
    assert.equal(
      refusal(() => requestLength(other(4, 0))),
      'request header version 0',
    )
    const wrongVersion = Buffer.from(version0)
    wrongVersion.writeInt32BE(3, 4)
    assert.equal(
      refusal(() => requestLength(wrongVersion)),
      'request header version 3',
    )
    assert.equal(
      refusal(() => decodeRequest(request.subarray(0, -1))),
      'request length differs from its header',
    )
    assert.equal(decodeRequest(request).head.isBackupRequest, true)
  })

  it('reads a request that leaves everything of its head out', () => {
    const bare = Buffer.concat([
      request.subarray(0, 8),
      hex('00000001'),
      request.subarray(12, 16),
      hex('00'),
      decodeRequest(request).body,
    ])
    assert.deepEqual(decodeRequest(bare).head, {...head, clientTimeoutMs: 0, isBackupRequest: false})
  })

  it('refuses what is no response', () => {
    assert.equal(
      refusal(() => responseLength(hex('00000017'), 100)),
      'response of 23 bytes',
    )
    assert.equal(
      refusal(() => responseLength(hex('80000000'), 100)),
      'response of -2147483648 bytes',
    )
    assert.equal(
      refusal(() => responseLength(hex('7fffffff'), 100)),
      'response of 2147483647 bytes, at most 100 accepted',
    )
    const call = encodeResponse('X', 1, 'ERR_OK')
    call[4 + 4 + 6 + 3] = 1
    assert.equal(
      refusal(() => decodeResponse(call)),
      'message type 1 in a response',
    )
    const loose = Buffer.concat([hex('00000020 00000006'), Buffer.from('ERR_OK'), hex('00000001 58 02 00000001')])
    assert.equal(
      refusal(() => decodeResponse(loose)),
      'No protocol version header',
    )
  })

  it('keeps errors of its own as they are, and names those of the library', () => {
    const own = malformed('mine')
    assert.throws(
      () =>
        decodeWith(Buffer.alloc(0), () => {
          throw own
        }),
      (error) => error === own,
    )
    const foreign = Object.assign(new Error('x'), {message: ''})
    assert.equal(
      refusal(() =>
        decodeWith(Buffer.alloc(0), () => {
          throw foreign
        }),
      ),
      'thrift protocol error',
    )
    assert.equal(
      refusal(() =>
        decodeWith(Buffer.alloc(0), () => {
          throw new Error('theirs')
        }),
      ),
      'theirs',
    )
    try {
      decodeWith(Buffer.alloc(0), () => {
        throw foreign
      })
    } catch (error) {
      assert.equal((error as Error).cause, foreign)
    }
  })
})

describe('bytes in memory', () => {
  it('are never read past their end', () => {
    const reader = () => new MemoryReader(hex('3ff0000000000000'))
    assert.equal(reader().readDouble(), 1)
    assert.deepEqual(reader().read(0), Buffer.alloc(0))
    assert.deepEqual(reader().read(8), hex('3ff0000000000000'))
    assert.equal(
      refusal(() => reader().read(9)),
      '9 bytes wanted at offset 0, 8 left',
    )
    assert.equal(
      refusal(() => reader().read(-1)),
      '-1 bytes wanted at offset 0, 8 left',
    )
    assert.equal(
      refusal(() => reader().readString(-1)),
      '-1 bytes wanted at offset 0, 8 left',
    )
  })

  it('are written as they come: texts and bytes', () => {
    const writer = new MemoryWriter()
    writer.write('é')
    writer.write(new Uint8Array([1]))
    writer.write(Buffer.from([2]))
    writer.flush()
    assert.deepEqual(writer.toBuffer(), hex('c3a9 01 02'))
    const wrapped = createWriter()
    encodeWrapped(wrapped, 1, i32, 7)
    assert.deepEqual(wrapped.transport.toBuffer(), hex('08 0001 00000007 00'))
  })

  it('of a stream are put together, each message in memory of its own', () => {
    const reader = new MessageReader(64)
    const message = encodeResponse('X', 1, 'ERR_BUSY')
    const stream = Buffer.concat([message, message.subarray(0, 7)])
    const first = [...reader.push(stream)]
    assert.deepEqual(first, [message])
    stream.fill(0)
    assert.deepEqual(first, [message])
    assert.deepEqual([...reader.push(Buffer.alloc(0))], [])
    assert.deepEqual([...reader.push(message.subarray(7))], [message])
    assert.equal(
      refusal(() => [...reader.push(hex('00000041'))]),
      'response of 65 bytes, at most 64 accepted',
    )
  })
})
