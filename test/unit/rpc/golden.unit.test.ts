import assert from 'node:assert/strict'

import {callsByName} from '../../../src/lib/rpc/calls.js'
import {
  decodeArguments,
  decodeRequest,
  decodeResponse,
  decodeResult,
  encodeRequest,
  encodeRequestBody,
  encodeResponse,
} from '../../../src/lib/rpc/frame.js'
import {goldenExchanges} from '../../support/golden.js'

/** A code that no server ever had; captured with the arguments of another call. */
const NO_SUCH_CALL = 'RPC_CM_NO_SUCH_THING'

describe('golden exchanges of real servers', () => {
  const exchanges = goldenExchanges()

  it('are all there', () => {
    assert.equal(exchanges.filter(({file}) => file === 'rpc-2.5.0.jsonl').length, 263)
    assert.equal(exchanges.filter(({file}) => file === 'rpc-master.jsonl').length, 286)
  })

  it('know every call but the one that was made up', () => {
    const unknown = new Set(exchanges.map(({rpc}) => rpc).filter((rpc) => !callsByName.has(rpc)))
    assert.deepEqual([...unknown], [NO_SUCH_CALL])
  })

  for (const exchange of exchanges) {
    const {file, header, line, request, response, rpc, rpcError, to} = exchange
    it(`${file}:${line} ${exchange.case} (${header}, ${to}) decodes and encodes to the same bytes`, () => {
      const call = callsByName.get(rpc === NO_SUCH_CALL ? 'RPC_CM_CLUSTER_INFO' : rpc)!
      const decoded = decodeRequest(request)
      assert.equal(decoded.head.name, rpc)
      assert.equal(decoded.headerVersion, header === 'v1' ? 1 : 0)
      const args = decodeArguments(call.request, decoded.args)
      if (header === 'v1') {
        assert.equal(encodeRequest(decoded.head, call.request, args).toString('hex'), request.toString('hex'))
      } else {
        const body = encodeRequestBody(rpc, decoded.head.seqid, call.request, args)
        assert.equal(body.toString('hex'), decoded.body.toString('hex'))
      }

      if (!response) return
      const reply = decodeResponse(response)
      assert.equal(reply.name, `${rpc}_ACK`)
      assert.equal(reply.seqid, decoded.head.seqid)
      assert.equal(reply.error, rpcError)
      const result =
        reply.result.length === 0
          ? undefined
          : {type: call.response, value: decodeResult(call.response, reply.result) as unknown}
      assert.equal(encodeResponse(rpc, reply.seqid, reply.error, result).toString('hex'), response.toString('hex'))
    })
  }
})
