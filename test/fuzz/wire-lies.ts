import type {AnyWireType} from '../../src/lib/rpc/codec.js'
import {blob, errorCode, gpid, hostPort, rpcAddress, taskCode} from '../../src/lib/rpc/custom-types.js'
import {TType} from '../../src/lib/rpc/protocol.js'
import {below, oneOf} from './target.js'

/*
 * Bytes of a wire type, written by hand and not by the codec: right in most places, and a lie in some. Lengths that are
 * not there, other types, unknown fields, fields twice, structs that never end, nests.
 */

const ERRORS = ['ERR_OK', 'ERR_OK', 'ERR_OK', 'ERR_FORWARD_TO_OTHERS', 'ERR_OBJECT_NOT_FOUND', 'ERR_BUSY', 'ERR_?', '']
const WORDS = [
  '',
  'x',
  'onebox',
  '127.0.0.1:34601',
  'temp',
  '1',
  '\u{1B}[31m',
  '{}',
  'replica.deny_client_request',
  '\uFFFD',
]
const LIE = 0.02

const custom: ReadonlyMap<AnyWireType, (lies: Lies) => Buffer> = new Map<AnyWireType, (lies: Lies) => Buffer>([
  [blob, (lies) => lies.text(oneOf(lies.random, WORDS))],
  [errorCode, (lies) => lies.text(oneOf(lies.random, ERRORS))],
  [gpid, (lies) => lies.long([1n, 2n, 4_294_967_298n, -1n, 0n])],
  [hostPort, (lies) => Buffer.concat([lies.text('localhost'), lies.integer(2, [34_801, -1]), Buffer.from([1])])],
  [rpcAddress, (lies) => lies.long([9_151_314_447_111_815_169n, 0n, 2n, -1n])],
  [taskCode, (lies) => lies.text('RPC_RRDB_RRDB_PUT')],
])

/** Writes values of wire types. */
export class Lies {
  private depth = 0

  constructor(readonly random: () => number) {}

  value(type: AnyWireType): Buffer {
    const known = custom.get(type)
    if (known) return known(this)
    const parts = type as {element?: AnyWireType; fields?: object; key?: AnyWireType; value?: AnyWireType}
    if (parts.fields)
      return this.struct(parts.fields as Record<string, {id: number; optional: boolean; type: AnyWireType}>)
    if (parts.key && parts.value) return this.entries(parts.key, parts.value)
    if (parts.element) return this.list(parts.element)
    return this.scalar(type.typeId)
  }

  /** The wrapper of a result. */
  wrapped(type: AnyWireType): Buffer {
    return Buffer.concat([this.head(type.typeId, 0), this.value(type), this.lying() ? this.junk() : Buffer.from([0])])
  }

  text(word: string): Buffer {
    const bytes = Buffer.from(this.lying() ? word.repeat(500) : word)
    return Buffer.concat([this.count(bytes.length), bytes])
  }

  long(from: readonly bigint[]): Buffer {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64BE(this.lying() ? 2n ** 63n - 1n : oneOf(this.random, from))
    return bytes
  }

  integer(width: 1 | 2 | 4, from: readonly number[]): Buffer {
    const bytes = Buffer.alloc(width)
    bytes.writeIntBE((oneOf(this.random, from) << (32 - 8 * width)) >> (32 - 8 * width), 0, width)
    return bytes
  }

  private lying(): boolean {
    return this.random() < LIE
  }

  private count(truth: number): Buffer {
    const lie = () => [truth + 1, truth - 1, 0x7f_ff_ff_ff, -1, 1e9, 0x80_00_00][below(this.random, 6)]!
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(this.lying() ? lie() : truth)
    return bytes
  }

  private scalar(typeId: number): Buffer {
    if (typeId === TType.STRING) return this.text(oneOf(this.random, WORDS))
    if (typeId === TType.I64) return this.long([0n, 1n, 100n, -1n, 2n ** 53n])
    if (typeId === TType.I32) return this.integer(4, [0, 1, 2, 3, 4, 8, -1, 0x7f_ff_ff_ff])
    if (typeId === TType.I16) return this.integer(2, [0, 1, -1])
    return this.integer(1, [0, 1, 2, -1])
  }

  private head(typeId: number, id: number): Buffer {
    const type = this.lying() ? oneOf(this.random, Object.values(TType)) : typeId
    return Buffer.concat([Buffer.from([type]), this.integer(2, [this.lying() ? id + 1 : id])])
  }

  private struct(fields: Record<string, {id: number; optional: boolean; type: AnyWireType}>): Buffer {
    const pieces: Buffer[] = []
    for (const {id, optional, type} of Object.values(fields)) {
      if (optional ? this.random() < 0.5 : this.lying()) continue
      const times = this.lying() ? 2 : 1
      for (let n = 0; n < times; n++) pieces.push(this.head(type.typeId, id), this.value(type))
    }

    if (this.lying()) pieces.push(this.unknownField())
    if (!this.lying()) pieces.push(Buffer.from([0]))
    return Buffer.concat(pieces)
  }

  private list(element: AnyWireType): Buffer {
    const length = this.size()
    const items = Array.from({length}, () => this.value(element))
    const type = this.lying() ? oneOf(this.random, Object.values(TType)) : element.typeId
    return Buffer.concat([Buffer.from([type]), this.count(length), ...items])
  }

  private entries(key: AnyWireType, value: AnyWireType): Buffer {
    const length = this.size()
    const items = Array.from({length}, () => Buffer.concat([this.value(key), this.value(value)]))
    return Buffer.concat([Buffer.from([key.typeId, value.typeId]), this.count(length), ...items])
  }

  private size(): number {
    return this.lying() && this.depth === 0 ? 300 : below(this.random, 4)
  }

  /** One that no reader knows: it is skipped, so it may hold anything. */
  private unknownField(): Buffer {
    const nest = Buffer.from(oneOf(this.random, ['0d0b0d00000001', '0c0001', '0f0f00000001', '0e0c00000001']), 'hex')
    const body = Buffer.concat(Array.from({length: 1 + below(this.random, 100)}, () => nest))
    return Buffer.concat([Buffer.from([body[0]!, 0x7f, 0xff]), body, this.junk()])
  }

  private junk(): Buffer {
    return Buffer.from(Array.from({length: below(this.random, 30)}, () => below(this.random, 256)))
  }
}
