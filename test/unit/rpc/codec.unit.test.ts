import assert from 'node:assert/strict'
import * as fc from 'fast-check'

import {isMigratorError} from '../../../src/lib/errors.js'
import {callsByName, metaCalls} from '../../../src/lib/rpc/calls.js'
import {
  at,
  bool,
  decode,
  encode,
  encodeWrapped,
  i32,
  i64,
  int53,
  list,
  map,
  opt,
  string,
  struct,
} from '../../../src/lib/rpc/codec.js'
import {blob} from '../../../src/lib/rpc/custom-types.js'
import {
  decodeRequest,
  decodeResponse,
  decodeResult,
  encodeRequest,
  encodeResponse,
  requestLength,
  responseLength,
} from '../../../src/lib/rpc/frame.js'
import {createWriter} from '../../../src/lib/rpc/protocol.js'
import {goldenExchange} from '../../support/golden.js'

const MAX = 64 * 1024 * 1024

/** Decodes as a connection does: length, head, result. */
function decodeAll(rpc: string, message: Buffer): unknown {
  const length = responseLength(message, MAX)
  if (length !== message.length) throw Object.assign(new Error('incomplete'), {incomplete: true})
  const {error, result} = decodeResponse(message)
  return error === 'ERR_OK' ? decodeResult(callsByName.get(rpc)!.response, result) : error
}

/** Runs `decode`; what it throws must be ours. */
function assertReadOrMalformed(run: () => unknown): 'malformed' | 'read' {
  try {
    run()
    return 'read'
  } catch (error) {
    if (!isMigratorError(error, 'rpc.malformed', 'rpc.too_large')) throw error
    return 'malformed'
  }
}

const person = struct('person', {name: at(1, string), age: opt(3, i32), keys: opt(5, list(i64))})

describe('codec and frames', () => {
  describe('codec', () => {
    it('writes the request of protocol.md §1.5', () => {
      const head = {
        clientTimeoutMs: 5000,
        isBackupRequest: false,
        name: 'RPC_CM_CLUSTER_INFO',
        partitionHash: 0n,
        pid: {appId: 0, partitionIndex: 0},
        seqid: 1,
      }
      const bytes = encodeRequest(head, metaCalls.clusterInfo.request, {})
      const body = `8001000100000013${Buffer.from(head.name).toString('hex')}000000010c00010000`
      const meta = '0800010000000008000200000000080003000013880a000400000000000000000200050000'
      assert.equal(bytes.toString('hex'), `54484654000000010000002500000024${meta}${body}`)
    })

    it('reads the version 0 request of protocol.md §1.5', () => {
      const body = `8001000100000013${Buffer.from('RPC_CM_CLUSTER_INFO').toString('hex')}000000010c00010000`
      const header = `54484654000000000000003000000000${'00000024'}${'00'.repeat(12)}00001388${'00'.repeat(12)}`
      const {head, headerVersion} = decodeRequest(Buffer.from(header + body, 'hex'))
      assert.equal(headerVersion, 0)
      assert.deepEqual(head, {
        clientTimeoutMs: 5000,
        isBackupRequest: false,
        name: 'RPC_CM_CLUSTER_INFO',
        partitionHash: 0n,
        pid: {appId: 0, partitionIndex: 0},
        seqid: 1,
      })
    })

    it('writes and reads the reply of protocol.md §1.5', () => {
      const value = {err: 'ERR_OK', keys: ['cluster_name'], values: ['c1']}
      const bytes = encodeResponse('RPC_CM_CLUSTER_INFO', 1, 'ERR_OK', {type: metaCalls.clusterInfo.response, value})
      assert.equal(bytes.length, 105)
      const hex = (text: string) => Buffer.from(text).toString('hex')
      const head = `0000006900000006${hex('ERR_OK')}8001000200000017${hex('RPC_CM_CLUSTER_INFO_ACK')}00000001`
      const result = `0c00000c000100000006${hex('ERR_OK')}0f00020b000000010000000c${hex('cluster_name')}0f00030b0000000100000002${hex('c1')}0000`
      assert.equal(bytes.toString('hex'), head + result)
      assert.deepEqual(decodeAll('RPC_CM_CLUSTER_INFO', bytes), value)
    })

    it('skips unknown fields of every simple type, nested ones too', () => {
      const newer = struct('person of a later version', {
        name: at(1, string),
        married: at(2, bool),
        age: opt(3, i32),
        pets: at(4, list(struct('pet', {name: at(1, string), tags: at(2, map(string, list(i32)))}))),
        keys: opt(5, list(i64)),
        home: at(9, struct('home', {street: at(1, string)})),
        ids: at(11, map(i32, bool)),
        born: at(12, int53),
      })
      const bytes = encode(newer, {
        age: 40,
        born: -1,
        home: {street: 'Elm'},
        ids: new Map([[1, true]]),
        keys: [5n],
        married: true,
        name: 'Ann',
        pets: [{name: 'Rex', tags: new Map([['a', [1, 2]]])}],
      })
      assert.deepEqual(decode(person, bytes), {age: 40, keys: [5n], name: 'Ann'})
    })

    it('gives absent fields their zero, or leaves them out', () => {
      assert.deepEqual(decode(person, Buffer.from([0])), {name: ''})
    })

    it('refuses a known field of another type', () => {
      const other = struct('other', {name: at(1, i32)})
      assert.throws(() => decode(person, encode(other, {name: 1})), {code: 'rpc.malformed'})
    })

    it('refuses bytes after a value', () => {
      assert.throws(() => decode(person, Buffer.from([0, 0])), {code: 'rpc.malformed'})
    })

    it('refuses numbers that would be rounded', () => {
      assert.throws(() => decode(int53, encode(i64, 2n ** 60n)), {code: 'rpc.malformed'})
      assert.equal(decode(i64, encode(i64, -7_640_162_296_009_850_876n)), -7_640_162_296_009_850_876n)
    })

    it("reads master's host_port fields", () => {
      const exchange = goldenExchange('master', 'list_nodes')
      const {infos} = decodeAll(exchange.rpc, exchange.response!) as {infos: Array<{hpNode: object; node: string}>}
      assert.equal(infos.length, 3)
      assert.deepEqual(infos.map(({node}) => node).sort(), ['127.0.0.1:22801', '127.0.0.1:22802', '127.0.0.1:22803'])
      for (const {hpNode, node} of infos)
        assert.deepEqual(hpNode, {host: 'localhost', port: Number(node.slice(-5)), type: 1})
      const drops = goldenExchange('master', 'query_config.hp_last_drops')
      const config = decodeAll(drops.rpc, drops.response!) as {partitions: Array<{hpLastDrops?: object[]}>}
      assert.ok(config.partitions.some(({hpLastDrops}) => hpLastDrops?.length))
    })
  })

  describe('broken messages', () => {
    const cases = [
      goldenExchange('2.5.0', 'cluster_info'),
      goldenExchange('2.5.0', 'query_config'),
      goldenExchange('2.5.0', 'query_replica_info'),
      goldenExchange('2.5.0', 'scan.1_get_scanner'),
      goldenExchange('master', 'list_apps'),
      goldenExchange('master', 'query_config.hp_last_drops'),
      goldenExchange('master', 'list_duplication.log'),
      goldenExchange('master', 'cli.help.replica'),
    ]

    for (const {case: name, file, request, response, rpc} of cases) {
      it(`${file} ${name}: cut short anywhere it is rpc.malformed`, () => {
        const {result} = decodeResponse(response!)
        const headLength = response!.length - result.length
        for (let length = 4; length < response!.length; length++) {
          const cut = Buffer.from(response!.subarray(0, length))
          cut.writeInt32BE(length)
          // An answer without a result is how servers send RPC-level errors; with ERR_OK it is none.
          assert.equal(
            assertReadOrMalformed(() => decodeAll(rpc, cut)),
            'malformed',
            `at ${length} of ${headLength}+`,
          )
        }

        for (let length = 16; length < request.length; length++) {
          assert.equal(
            assertReadOrMalformed(() => decodeRequest(request.subarray(0, length))),
            'malformed',
          )
        }
      })

      it(`${file} ${name}: any byte changed is read or rpc.malformed`, () => {
        fc.assert(
          fc.property(
            fc.integer({max: response!.length - 1, min: 4}),
            fc.integer({max: 255, min: 1}),
            (offset, flip) => {
              const changed = Buffer.from(response!)
              changed[offset]! ^= flip
              assertReadOrMalformed(() => decodeAll(rpc, changed))
            },
          ),
          {numRuns: 300},
        )
      })
    }

    it('any bytes at all are read or rpc.malformed', () => {
      fc.assert(
        fc.property(fc.uint8Array({maxLength: 200}), fc.constantFrom(...callsByName.values()), (bytes, call) => {
          assertReadOrMalformed(() => decodeResult(call.response, Buffer.from(bytes)))
          assertReadOrMalformed(() => decodeResponse(Buffer.concat([Buffer.alloc(4), bytes])))
          assertReadOrMalformed(() => requestLength(Buffer.from(bytes)))
        }),
        {numRuns: 2000},
      )
    })

    const lies: Array<[string, string]> = [
      ['a text of 2^31-1 bytes', '0b00017fffffff'],
      ['a text of -1 bytes', '0b0001ffffffff'],
      ['a text of -2^31 bytes', '0b000180000000'],
      ['a list of 10^9', '0f00050a3b9aca00'],
      ['a list of -1', '0f00050affffffff'],
      ['an unknown list of 10^9', '0f00630c3b9aca00'],
      ['an unknown list of 10^9 lists', '0f00630f3b9aca00'],
      ['an unknown map of 10^9', '0d006308083b9aca00'],
      ['an unknown text of 2^31-1 bytes', '0b00637fffffff'],
      ['an unknown type', '630063'],
      ['a list of no type', '0f0063003b9aca00'],
    ]
    for (const [what, hex] of lies) {
      it(`${what} is refused at once`, () => {
        const startMs = performance.now()
        assert.throws(() => decode(person, Buffer.from(hex, 'hex')), {code: 'rpc.malformed'})
        const rest = Buffer.alloc(4096)
        assert.throws(() => decode(person, Buffer.concat([Buffer.from(hex, 'hex'), rest])), {code: 'rpc.malformed'})
        assert.ok(performance.now() - startMs < 1000)
      })
    }

    it('structures nested without end are refused', () => {
      const bytes = Buffer.alloc(3 * 100_000)
      for (let offset = 0; offset < bytes.length; offset += 3) bytes.write('0c0063', offset, 'hex')
      assert.throws(() => decode(person, bytes), {code: 'rpc.malformed'})
    })

    it('more elements than memory could hold are refused, however small they are', () => {
      const empty = struct('empty', {name: opt(1, string)})
      const writer = createWriter()
      writer.protocol.writeListBegin(12, 3_000_000)
      const bytes = Buffer.concat([writer.transport.toBuffer(), Buffer.alloc(3_000_000)])
      assert.throws(() => decode(list(empty), bytes), /more than 2000000 values/)
      const half = Buffer.concat([Buffer.from('0c00100000', 'hex'), Buffer.alloc(0x10_00_00)])
      assert.throws(
        () => decode(list(list(empty)), Buffer.concat([Buffer.from('0f00000003', 'hex'), half, half, half])),
        {code: 'rpc.malformed'},
      )
    })

    it('a response may claim neither too little nor too much', () => {
      const prefix = (length: number) => {
        const bytes = Buffer.alloc(4)
        bytes.writeUInt32BE(length)
        return bytes
      }

      assert.equal(responseLength(Buffer.alloc(3), MAX), undefined)
      for (const length of [0, 4, 19, 0x80_00_00_00, 0xff_ff_ff_ff]) {
        assert.throws(() => responseLength(prefix(length), MAX), {code: 'rpc.malformed'})
      }

      assert.throws(() => responseLength(prefix(MAX + 1), MAX), {code: 'rpc.too_large'})
      assert.throws(() => responseLength(prefix(0x7f_ff_ff_ff), MAX), {code: 'rpc.too_large'})
      assert.equal(responseLength(prefix(MAX), MAX), MAX)
    })

    it('a blob is read whatever is in it', () => {
      const writer = createWriter()
      encodeWrapped(writer, 1, blob, Buffer.from([0, 255, 1]))
      assert.equal(writer.transport.toBuffer().toString('hex'), '0c00010000000300ff0100')
    })
  })
})
