import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import {encodeKey} from '../../../src/lib/pegasus/key-hash.js'
import {packedCalls, RowBatch} from '../../../src/lib/pegasus/row-batch.js'
import {dataCalls} from '../../../src/lib/rpc/calls.js'
import {at, bool, decode, encode, i32, list, opt, struct} from '../../../src/lib/rpc/codec.js'
import {blob} from '../../../src/lib/rpc/custom-types.js'
import {decodeResponse, decodeResult} from '../../../src/lib/rpc/frame.js'
import type {KeyValue} from '../../../src/lib/rpc/structs/rrdb.js'
import {goldenExchanges} from '../../support/golden.js'

const packed = packedCalls.scan.response
const generic = dataCalls.scan.response

const bytes = (maxLength: number) => fc.uint8Array({maxLength}).map((array) => Buffer.from(array))
const row: fc.Arbitrary<KeyValue> = fc
  .tuple(bytes(4), bytes(9), bytes(40), fc.option(fc.integer({max: 2 ** 31 - 1, min: -(2 ** 31)}), {nil: undefined}))
  .map(([hashKey, sortKey, value, expireTsSeconds]) => ({
    key: encodeKey(hashKey, sortKey),
    value,
    ...(expireTsSeconds === undefined ? {} : {expireTsSeconds}),
  }))
const rows = fc.array(row, {maxLength: 30})
const reply = fc.record({
  appId: fc.integer(),
  contextId: fc.bigInt({max: 2n ** 63n - 1n, min: -(2n ** 63n)}),
  error: fc.constantFrom(0, 1, 7),
  kvCount: fc.option(fc.nat(), {nil: undefined}),
  kvs: rows,
  partitionIndex: fc.nat(),
  server: fc.string(),
})

describe('rows left in the bytes of a reply', () => {
  it('are the rows of the generic decoder, whatever they hold', () => {
    fc.assert(
      fc.property(reply, (value) => {
        const {contextId, error, kvCount, rows: batch} = decode(packed, encode(generic, value))
        assert.deepEqual(
          {contextId, error, kvCount},
          {contextId: value.contextId, error: value.error, kvCount: value.kvCount},
        )
        assert.deepEqual(batch.rows(), value.kvs)
        for (const [index, {expireTsSeconds = 0, key}] of value.kvs.entries()) {
          assert.deepEqual(batch.key(index), key)
          assert.equal(batch.expireTsSeconds(index), expireTsSeconds >>> 0)
        }

        const written = decode(generic, encode(packed, {contextId, error, kvCount, rows: batch}))
        assert.deepEqual([written.kvs, written.contextId], [value.kvs, value.contextId])
      }),
    )
  })

  it('are those that real servers sent', () => {
    let checked = 0
    for (const {response, rpc} of goldenExchanges()) {
      if (rpc !== dataCalls.scan.name && rpc !== dataCalls.getScanner.name) continue
      const {error, result} = decodeResponse(response!)
      if (error !== 'ERR_OK') continue
      const expected = decodeResult(generic, result)
      const {contextId, rows: batch} = decodeResult(packed, result)
      assert.deepEqual(batch.rows(), expected.kvs)
      assert.equal(contextId, expected.contextId)
      checked += batch.length
    }

    assert.ok(checked > 0, 'no scan among the golden exchanges')
  })

  it('are refused where the generic decoder refuses them: cut short, or with any byte changed', () => {
    fc.assert(
      fc.property(reply, fc.nat(), fc.nat(255), fc.boolean(), (value, place, byte, cut) => {
        const whole = encode(generic, value)
        const broken = cut ? whole.subarray(0, place % whole.length) : Buffer.from(whole)
        if (!cut) broken[place % whole.length] = byte
        const attempt = <T>(work: () => T) => {
          try {
            return work()
          } catch (error) {
            return (error as {code?: string}).code ?? String(error)
          }
        }

        const expected = attempt(() => decode(generic, broken))
        const found = attempt(() => decode(packed, broken))
        if (typeof expected === 'string') assert.equal(found, expected)
        else if (typeof found === 'string') assert.fail(found)
        else {
          assert.deepEqual(found.rows.rows(), expected.kvs)
          assert.equal(found.contextId, expected.contextId)
        }
      }),
      {numRuns: 2000},
    )
  })

  it('are understood in a form that servers do not use today', () => {
    const strangeRow = struct('key_value', {
      expireTsSeconds: opt(3, i32),
      key: at(1, blob),
      news: at(9, bool),
      value: at(2, blob),
    })
    const strange = struct('scan_response', {error: at(1, i32), kvs: at(2, list(strangeRow)), news: at(8, bool)})
    const kvs = [{expireTsSeconds: 5, key: encodeKey(Buffer.from('a'), Buffer.from('b')), value: Buffer.from('c')}]
    const sent = encode(strange, {error: 0, kvs: kvs.map((kv) => ({...kv, news: true})), news: true})
    assert.deepEqual(decode(packed, sent).rows.rows(), kvs)
  })

  it('claim no memory for rows that are not there', () => {
    const claims = Buffer.from('0f00020c7fffffff', 'hex')
    assert.throws(() => decode(packed, claims), {code: 'rpc.malformed'})
    assert.equal(RowBatch.at(Buffer.alloc(100), 0, 2 ** 31 - 1), undefined)
    assert.equal(RowBatch.at(Buffer.alloc(100), 0, -1), undefined)
  })

  it('are compared as their keys and values are', () => {
    fc.assert(
      fc.property(
        fc.array(row, {maxLength: 8, minLength: 1}),
        fc.array(row, {maxLength: 8, minLength: 1}),
        (some, others) => {
          const [a, b] = [RowBatch.of(some), RowBatch.of([...others, ...some])]
          for (const [i, one] of some.entries()) {
            for (const [j, other] of [...others, ...some].entries()) {
              assert.equal(Math.sign(RowBatch.compareKeys(a, i, b, j)), Buffer.compare(one.key, other.key))
              assert.equal(RowBatch.haveEqualValues(a, i, b, j), one.value.equals(other.value))
            }
          }

          assert.equal(RowBatch.areSame(a, 0, b, others.length, some.length), true)
          const grow = some.every(({key}, index) => index === 0 || Buffer.compare(some[index - 1]!.key, key) < 0)
          assert.equal(a.ascends(0, some.length), grow)
        },
      ),
    )
  })

  it('grow or do not grow whatever their first different byte is', () => {
    for (let length = 1; length < 12; length++) {
      for (let place = 0; place < length; place++) {
        const key = Buffer.alloc(length, 0x80)
        const larger = Buffer.from(key)
        larger[place]!++
        const [low, high] = [key, larger].map((k) => ({key: encodeKey(k, Buffer.alloc(0)), value: Buffer.alloc(0)}))
        assert.equal(RowBatch.of([low!, high!]).ascends(0, 2), true)
        assert.equal(RowBatch.of([high!, low!]).ascends(0, 2), false)
        assert.equal(RowBatch.of([low!, low!]).ascends(0, 2), false)
      }
    }
  })
})
