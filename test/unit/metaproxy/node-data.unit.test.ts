import assert from 'node:assert/strict'
import * as fc from 'fast-check'

import {isMigratorError} from '../../../src/lib/errors.js'
import {formatNodeData, parseNodeData} from '../../../src/lib/metaproxy/node-data.js'

const bytes = (text: string) => Buffer.from(text)

function refusal(data: Buffer, path?: string) {
  try {
    parseNodeData(data, path)
  } catch (error) {
    assert.ok(isMigratorError(error, 'metaproxy.bad_node'), String(error))
    return error
  }

  assert.fail('was accepted')
}

describe('metaproxy node data', () => {
  it('reads a node as metaproxy does', () => {
    assert.deepEqual(parseNodeData(bytes('{"cluster_name": "onebox", "meta_addrs": "a:1,b:2"}')), {
      clusterName: 'onebox',
      metaAddresses: ['a:1', 'b:2'],
    })
  })

  it('takes a blank after the comma and unknown fields, as metaproxy does', () => {
    const data = parseNodeData(bytes('{"meta_addrs":"a:1, b:2","cluster_name":"c","owner":{"x":1}}'))
    assert.deepEqual(data.metaAddresses, ['a:1', 'b:2'])
  })

  it('counts an address that is written twice once', () => {
    assert.deepEqual(parseNodeData(bytes('{"cluster_name":"c","meta_addrs":"a:1,a:1"}')).metaAddresses, ['a:1'])
  })

  it('writes a single address twice', () => {
    const text = formatNodeData('onebox2', ['127.0.0.1:34601']).toString()
    assert.equal(text, '{"cluster_name":"onebox2","meta_addrs":"127.0.0.1:34601,127.0.0.1:34601"}')
  })

  for (const [name, data, detail] of [
    ['no bytes', '', /not JSON/],
    ['half of the JSON', '{"cluster_name":"c","meta', /not JSON/],
    ['a byte order mark', '\uFEFF{"cluster_name":"c","meta_addrs":"a:1,b:2"}', /begins with a byte order mark/],
    ['null', 'null', /not an object/],
    ['a list', '["a:1","b:2"]', /not an object/],
    ['a string', '"a:1,b:2"', /not an object/],
    ['no cluster name', '{"meta_addrs":"a:1,b:2"}', /no cluster_name/],
    ['an empty cluster name', '{"cluster_name":"","meta_addrs":"a:1,b:2"}', /no cluster_name/],
    ['a cluster name that is a number', '{"cluster_name":7,"meta_addrs":"a:1,b:2"}', /no cluster_name/],
    ['no addresses', '{"cluster_name":"c"}', /no meta_addrs/],
    ['addresses as a list', '{"cluster_name":"c","meta_addrs":["a:1","b:2"]}', /no meta_addrs/],
    ['one address', '{"cluster_name":"c","meta_addrs":"a:1"}', /one entry/],
    ['an address without a port', '{"cluster_name":"c","meta_addrs":"a:1,b"}', /not host:port: "b"/],
    ['a comma at the end', '{"cluster_name":"c","meta_addrs":"a:1,b:2,"}', /not host:port: ""/],
    ['a port that is none', '{"cluster_name":"c","meta_addrs":"a:1,b:65536"}', /not host:port/],
  ] as const) {
    it(`refuses ${name}, with the bytes found`, () => {
      const error = refusal(bytes(data), '/root/users')
      assert.match(error.message, detail)
      assert.match(error.message, /\/root\/users/)
      assert.equal(error.facts.evidence, JSON.stringify(data.replace(/^\uFEFF/, '')))
      assert.equal(error.facts.bytes, Buffer.byteLength(data))
    })
  }

  it('refuses bytes that are no text', () => {
    assert.match(refusal(Buffer.from([0x7b, 0xff, 0x7d])).message, /not JSON/)
  })

  it('shows at most 200 characters of what it found', () => {
    assert.ok(refusal(bytes('x'.repeat(100_000))).message.length < 600)
  })

  it('shows nothing that a terminal would obey', () => {
    assert.doesNotMatch(refusal(bytes('\u001B[2J\u009B2J\n')).message, /\p{Cc}/u)
  })

  it('reads back what it writes, whatever the names', () => {
    const port = fc.integer({max: 65_535, min: 1})
    const host = fc.stringMatching(/^[\d.a-z-]{1,20}$/)
    const address = fc.tuple(host, port).map(([h, p]) => `${h}:${p}`)
    const addresses = fc.uniqueArray(address, {maxLength: 5, minLength: 1})
    const name = fc.string({minLength: 1, unit: 'grapheme'})
    fc.assert(
      fc.property(name, addresses, (clusterName, metaAddresses) => {
        assert.deepEqual(parseNodeData(formatNodeData(clusterName, metaAddresses)), {clusterName, metaAddresses})
      }),
    )
  })

  it('either reads bytes or names them in metaproxy.bad_node', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        try {
          assert.ok(parseNodeData(bytes(text)).metaAddresses.length > 0)
        } catch (error) {
          assert.ok(isMigratorError(error, 'metaproxy.bad_node'), String(error))
        }
      }),
    )
  })

  for (const [name, cluster, addresses] of [
    ['an empty cluster name', '', ['a:1']],
    ['no address', 'c', []],
    ['an address without a port', 'c', ['a']],
    ['two addresses in one', 'c', ['a:1,b:2']],
  ] as const) {
    it(`refuses to write ${name}`, () => {
      assert.throws(() => formatNodeData(cluster, addresses), TypeError)
    })
  }
})
