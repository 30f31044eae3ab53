import assert from 'node:assert/strict'

import {plain, shapeDifferences} from '../../sandbox/golden/shape.js'
import {textDifferences} from '../../sandbox/golden/text-shape.js'

describe('shape of an answer', () => {
  const golden = {
    appId: 7,
    err: 'ERR_OK',
    hint: 'dup[t(1795330490)]',
    list: [{primary: '1.2.3.4:5'}],
    value: Buffer.from('x'),
  }

  it('is the same whatever the values are', () => {
    const alike = {
      appId: 1,
      err: 'ERR_OK',
      hint: 'dup[t(1)]',
      list: [{primary: '5.6.7.8:9'}, {primary: 'x'}],
      value: Buffer.from('yy'),
    }
    assert.deepEqual(shapeDifferences(golden, alike), [])
  })

  for (const [what, change] of [
    ['an error', {err: 'ERR_BUSY'}],
    ['a hint', {hint: 'other words'}],
    ['an id that is 0', {appId: 0}],
    ['a missing field', {value: undefined}],
    ['a field too many', {more: 1}],
    ['an empty list', {list: []}],
    ['no primary', {list: [{primary: null}]}],
    ['an empty value', {value: Buffer.alloc(0)}],
    ['another type', {hint: 5}],
  ] as const) {
    it(`differs by ${what}`, () => {
      assert.equal(shapeDifferences(golden, {...golden, ...change}).length, 1)
    })
  }

  it('tells done from open scans, and true from false', () => {
    assert.deepEqual(shapeDifferences({contextId: -5n}, {contextId: 9n}), [])
    assert.equal(shapeDifferences({contextId: -5n}, {contextId: -1n}).length, 1)
    assert.equal(shapeDifferences({contextId: -5n}, {contextId: 0n}).length, 1)
    assert.equal(shapeDifferences({duplicating: true}, {duplicating: false}).length, 1)
  })

  it('compares texts by what a reader of them depends on', () => {
    assert.equal(plain('at 127.0.0.1:34601, 2026-11-22 07:15:28'), 'at <server>, <time>')
    assert.deepEqual(textDifferences('help', 'a - x\nb - y\n', 'b - z\n'), [])
    assert.equal(textDifferences('help', 'a - x\n', 'c - x\n').length, 1)
    const block = (role: string, json: string) => `1 processed, 0 not found\n    1.0@127.0.0.1:1@${role} : ${json}`
    assert.deepEqual(textDifferences('replica.query-progress', block('P', '{"a": 1}'), block('P', '{"a": 2}')), [])
    assert.equal(textDifferences('replica.query-progress', block('P', '{"a": 1}'), block('P', '{"b": 2}')).length, 2)
  })
})
