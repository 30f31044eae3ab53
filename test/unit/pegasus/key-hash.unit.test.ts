import assert from 'node:assert/strict'
import * as fc from 'fast-check'

import {crc64, decodeKey, encodeKey, hashKeyFor, keyHash, partitionOf} from '../../../src/lib/pegasus/key-hash.js'
import {dataCalls, metaCalls} from '../../../src/lib/rpc/calls.js'
import {decodeArguments, decodeRequest, decodeResponse, decodeResult} from '../../../src/lib/rpc/frame.js'
import {goldenExchanges} from '../../support/golden.js'

/** CRC-64 bit by bit, as the definition has it. */
function slowCrc64(bytes: Uint8Array): bigint {
  let crc = 0xff_ff_ff_ff_ff_ff_ff_ffn
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x9a_6c_93_29_ac_4b_c9_b5n : crc >> 1n
  }

  return crc ^ 0xff_ff_ff_ff_ff_ff_ff_ffn
}

describe('key-hash', () => {
  describe('crc64', () => {
    for (const [text, hash] of [
      ['', 0n],
      ['a', 0x8c_2f_84_45_b4_cb_fc_3cn],
      ['hello', 0x33_77_85_70_06_52_42_57n],
      ['123456789', 0xae_8b_14_86_0a_79_98_88n],
    ] as const) {
      it(`of ${JSON.stringify(text)} is protocol.md §8.1's`, () => assert.equal(crc64(Buffer.from(text)), hash))
    }

    it('is the same as bit by bit', () => {
      fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.equal(crc64(bytes), slowCrc64(bytes))))
    })

    it("is what real clients put into their requests' headers", () => {
      let checked = 0
      for (const {request, rpc} of goldenExchanges()) {
        if (rpc !== dataCalls.get.name) continue
        const {args, head} = decodeRequest(request)
        const {hashKey, sortKey} = decodeKey(decodeArguments(dataCalls.get.request, args))
        assert.equal(keyHash(hashKey, sortKey), head.partitionHash)
        checked++
      }

      assert.ok(checked >= 20, `only ${checked}`)
    })
  })

  describe('keys', () => {
    it('are taken apart as they were put together', () => {
      fc.assert(
        fc.property(fc.uint8Array(), fc.uint8Array(), (hashKey, sortKey) => {
          const parts = decodeKey(encodeKey(hashKey, sortKey))
          assert.deepEqual(parts, {hashKey: Buffer.from(hashKey), sortKey: Buffer.from(sortKey)})
        }),
      )
    })

    it('are refused when they lie about a length', () => {
      for (const hex of ['', '00', '0001', 'ffff00'])
        assert.throws(() => decodeKey(Buffer.from(hex, 'hex')), RangeError)
      assert.throws(() => encodeKey(Buffer.alloc(0xff_ff), Buffer.alloc(0)), RangeError)
    })

    it('are hashed by the sort key when the hash key is empty', () => {
      const [a, none] = [Buffer.from('a'), Buffer.alloc(0)]
      assert.equal(keyHash(none, a), crc64(a))
      assert.equal(keyHash(a, none), crc64(a))
    })
  })

  describe('partitions', () => {
    it('are those that real clients sent their requests to', () => {
      const configurations = new Map<number, number>()
      for (const {response, rpc} of goldenExchanges()) {
        if (rpc !== metaCalls.queryConfig.name || !response) continue
        const {error, result} = decodeResponse(response)
        if (error !== 'ERR_OK') continue
        const {appId, partitionCount} = decodeResult(metaCalls.queryConfig.response, result)
        if (partitionCount > 0) configurations.set(appId, partitionCount)
      }

      let checked = 0
      for (const {request, rpc} of goldenExchanges()) {
        if (rpc !== dataCalls.get.name && rpc !== dataCalls.put.name) continue
        const {args, head} = decodeRequest(request)
        const count = configurations.get(head.pid.appId)
        if (count === undefined) continue
        const key =
          rpc === dataCalls.get.name
            ? decodeArguments(dataCalls.get.request, args)
            : decodeArguments(dataCalls.put.request, args).key
        const {hashKey, sortKey} = decodeKey(key)
        const slow = Number(slowCrc64(hashKey.length > 0 ? hashKey : sortKey) % BigInt(count))
        assert.deepEqual(
          [partitionOf(keyHash(hashKey, sortKey), count), slow],
          [head.pid.partitionIndex, head.pid.partitionIndex],
        )
        checked++
      }

      assert.ok(checked >= 5, `only ${checked}`)
    })

    it('are found with unsigned arithmetic', () => {
      assert.equal(partitionOf(crc64(Buffer.from('a')), 8), 4)
      assert.equal(partitionOf(0xff_ff_ff_ff_ff_ff_ff_ffn, 7), 1)
      assert.equal(partitionOf(-1n, 7), 1)
    })

    it('each have a key that begins with the prefix', () => {
      for (const count of [1, 4, 7, 1024]) {
        for (let index = 0; index < count; index++) {
          const key = hashKeyFor(index, count, 'probe-')
          assert.equal(partitionOf(crc64(key), count), index)
          assert.match(key.toString(), /^probe-\d+$/)
          assert.equal(hashKeyFor(index, count, 'probe-'), key)
        }
      }
    })

    it('out of range are refused', () => {
      for (const [index, count] of [
        [-1, 4],
        [4, 4],
        [0.5, 4],
        [0, 0],
      ] as const) {
        assert.throws(() => hashKeyFor(index, count, 'x'), RangeError)
      }
    })
  })
})
