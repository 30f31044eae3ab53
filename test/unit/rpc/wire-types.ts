import * as fc from 'fast-check'

import {type AnyStruct, type AnyWireType, bool, byte, i16, i32, i64, int53, string} from '../../../src/lib/rpc/codec.js'
import {blob, errorCode, gpid, hostPort, rpcAddress, taskCode} from '../../../src/lib/rpc/custom-types.js'
import {TType} from '../../../src/lib/rpc/protocol.js'

export type AnyType = AnyWireType &
  Partial<{element: AnyType; fields: AnyStruct['fields']; key: AnyType; name: string; value: AnyType}>

const PLAIN = {noNullPrototype: true} as const
const I32 = {max: 0x7f_ff_ff_ff, min: -0x80_00_00_00}

const address = fc.tuple(fc.ipV4(), fc.nat(65_535)).map(([ip, port]) => `${ip}:${port}`)

const leaves = new Map<AnyWireType, [string, fc.Arbitrary<unknown>]>([
  [blob, ['blob', fc.uint8Array().map((bytes) => Buffer.from(bytes))]],
  [bool, ['bool', fc.boolean()]],
  [byte, ['byte', fc.integer({max: 127, min: -128})]],
  [errorCode, ['error_code', fc.string()]],
  [gpid, ['gpid', fc.record({appId: fc.integer(I32), partitionIndex: fc.integer(I32)}, PLAIN)]],
  [hostPort, ['host_port', fc.record({host: fc.string(), port: fc.nat(65_535), type: fc.nat(2)}, PLAIN)]],
  [i16, ['i16', fc.integer({max: 32_767, min: -32_768})]],
  [i32, ['i32', fc.integer(I32)]],
  [i64, ['i64', fc.bigInt({max: 2n ** 63n - 1n, min: -(2n ** 63n)})]],
  [int53, ['i64', fc.maxSafeInteger()]],
  [rpcAddress, ['rpc_address', fc.option(address)]],
  [string, ['string', fc.string({unit: 'grapheme'})]],
  [taskCode, ['task_code', fc.string()]],
])

/** A type in the words of idl.md: `list<gpid>`, `map<i32,duplication_entry>`, ... */
export function describeType(type: AnyType): string {
  if (type.fields) return type.name!
  if (type.element) return `list<${describeType(type.element)}>`
  if (type.key && type.value) return `map<${describeType(type.key)},${describeType(type.value)}>`
  const leaf = leaves.get(type)
  if (leaf) return leaf[0]
  // enumerations are made one by one
  if (type.typeId === TType.I32) return 'i32'
  throw new Error(`no description of wire type ${type.typeId}`)
}

/** Any value of a type. */
export function arbitraryOf(type: AnyType): fc.Arbitrary<unknown> {
  if (type.fields) {
    const fields = Object.entries(type.fields)
    const optional = fields.filter(([, field]) => field.optional).map(([key]) => key)
    const required = fields.filter(([, field]) => !field.optional).map(([key]) => key)
    const model = Object.fromEntries(fields.map(([key, field]) => [key, arbitraryOf(field.type)]))
    return optional.length > 0 ? fc.record(model, {...PLAIN, requiredKeys: required}) : fc.record(model, PLAIN)
  }

  if (type.element) return fc.array(arbitraryOf(type.element), {maxLength: 4})
  if (type.key && type.value) {
    return fc
      .array(fc.tuple(arbitraryOf(type.key), arbitraryOf(type.value)), {maxLength: 4})
      .map((pairs) => new Map(pairs))
  }

  return leaves.get(type)?.[1] ?? fc.integer(I32)
}

/** Every struct that can be reached from `roots`, by name. */
export function structsOf(roots: Iterable<AnyType>): Map<string, Array<AnyStruct>> {
  const found = new Map<string, Array<AnyStruct>>()
  const visit = (type: AnyType | undefined) => {
    if (!type) return
    for (const inner of [type.element, type.key, type.value]) visit(inner)
    if (!type.fields) return
    const known = found.get(type.name!) ?? []
    if (known.includes(type as AnyStruct)) return
    found.set(type.name!, [...known, type as AnyStruct])
    for (const field of Object.values(type.fields)) visit(field.type)
  }

  for (const root of roots) visit(root)
  return found
}
