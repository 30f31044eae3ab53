import assert from 'node:assert/strict'
import * as fc from 'fast-check'

import {callsByName} from '../../../src/lib/rpc/calls.js'
import {type AnyStruct, decode, encode} from '../../../src/lib/rpc/codec.js'
import {blob, errorCode, gpid, hostPort, rpcAddress, taskCode} from '../../../src/lib/rpc/custom-types.js'
import {duplicationSyncRequest, duplicationSyncResponse} from '../../../src/lib/rpc/structs/duplication.js'
import {idlFields} from './idl-fields.js'
import {type AnyType, arbitraryOf, describeType, structsOf} from './wire-types.js'

const CUSTOM = ['blob', 'error_code', 'gpid', 'host_port', 'rpc_address', 'task_code']

/** One struct stands for several of the same layout. */
const sameAs: Record<string, string> = {
  check_and_mutate_response: 'check_and_set_response',
  configuration_get_atomic_idempotent_request: 'configuration_get_max_replica_count_request',
  configuration_set_max_replica_count_response: 'configuration_get_max_replica_count_response',
  configuration_set_atomic_idempotent_response: 'configuration_get_atomic_idempotent_response',
  configuration_update_app_env_response: 'configuration_rename_app_response',
  negotiation_response: 'negotiation_request',
}

const structs = structsOf([
  ...[...callsByName.values()].flatMap((call) => [call.request, call.response]),
  duplicationSyncRequest,
  duplicationSyncResponse,
])

function fieldsOf(struct: AnyStruct): string[] {
  const fields = Object.values(struct.fields).sort((a, b) => a.id - b.id)
  return fields.map((field) => `${field.id} ${describeType(field.type)}${field.optional ? '?' : ''}`)
}

describe('structs on the wire', () => {
  describe('structs', () => {
    it('are found through the calls', () => {
      assert.ok(structs.size > 70, `only ${structs.size}`)
    })

    for (const [name, declared] of structs) {
      it(`${name} has the ids and types of Pegasus's own files`, () => {
        const idl = idlFields[name]
        assert.notEqual(idl, undefined)
        for (const struct of declared) {
          const [ours, theirs] = [fieldsOf(struct), idl === '' ? [] : idl!.split(', ')]
          const [oursPlain, theirsPlain] = [ours, theirs].map((fields) => fields.map((field) => field.replace('?', '')))
          // As optional or not we may see it otherwise: servers always write what is not optional.
          assert.deepEqual(
            oursPlain!.filter((field) => !theirsPlain!.includes(field)),
            [],
          )
          // Whatever is left out must be of a type that can be skipped.
          const missing = theirsPlain!.filter((field) => !oursPlain!.includes(field))
          assert.deepEqual(
            missing.filter((field) => CUSTOM.some((type) => field.includes(type))),
            [],
          )
          for (const field of ours.filter((o) => !o.endsWith('?')))
            assert.ok(theirs.includes(field), `${field} is optional there`)
        }
      })

      it(`${name} reads what it wrote`, () => {
        for (const struct of declared) {
          fc.assert(
            fc.property(arbitraryOf(struct), (value) => {
              assert.deepEqual(decode(struct, encode(struct, value as never)), value)
            }),
            {numRuns: 30},
          )
        }
      })
    }

    for (const [other, name] of Object.entries(sameAs)) {
      it(`${other} is laid out as ${name}`, () => {
        assert.equal(idlFields[other]!.replaceAll('?', ''), idlFields[name]!.replaceAll('?', ''))
      })
    }
  })

  describe('custom payloads', () => {
    const types: Record<string, AnyType> = {blob, errorCode, gpid, hostPort, rpcAddress, taskCode}
    for (const [name, type] of Object.entries(types)) {
      it(`${name} reads what it wrote`, () => {
        fc.assert(fc.property(arbitraryOf(type), (value) => assert.deepEqual(decode(type, encode(type, value)), value)))
      })
    }

    it('are the bytes of protocol.md §1.5', () => {
      assert.equal(encode(gpid, {appId: 2, partitionIndex: 3}).toString('hex'), '0000000300000002')
      assert.equal(encode(rpcAddress, '127.0.0.1:34601').toString('hex'), '7f00000187290001')
    })

    it('know the invalid address and refuse a group', () => {
      assert.equal(decode(rpcAddress, Buffer.alloc(8)), null)
      assert.throws(() => decode(rpcAddress, Buffer.from('7f00000187290002', 'hex')), {code: 'rpc.malformed'})
    })

    it('are never written for what is no IPv4 address', () => {
      for (const bad of ['localhost:1', '1.2.3:4', '1.2.3.256:1', '1.2.3.4:65536', '1.2.3.4']) {
        assert.throws(() => encode(rpcAddress, bad), TypeError)
      }
    })
  })
})
