import {malformed} from './memory-transport.js'
import {createWriter, decodeWith, type Reader, TType, type Writer} from './protocol.js'

/** A type on the wire: its thrift type id, how to read and write it, and what an absent field means. */
export interface WireType<T> {
  /** Fewest bytes a value takes; bounds list sizes before anything is allocated. */
  minBytes: number
  read(reader: Reader): T
  typeId: number
  /** What a value counts for against the limit of one message: its own parts, or 1. */
  weight?: number
  write(writer: Writer, value: T): void
  zero(): T
}

/** A wire type of whatever values; one that both reads and writes fits no other. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyWireType = WireType<any>

/** The TypeScript type of a wire type. */
export type ValueOf<W> = W extends WireType<infer T> ? T : never

function scalar<T>(
  typeId: number,
  minBytes: number,
  zero: T,
  read: (reader: Reader) => T,
  write: (writer: Writer, value: T) => void,
): WireType<T> {
  return {minBytes, read, typeId, write, zero: () => zero}
}

export const bool = scalar(
  TType.BOOL,
  1,
  false,
  (r) => r.protocol.readBool(),
  (w, v) => w.protocol.writeBool(v),
)
export const byte = scalar(
  TType.BYTE,
  1,
  0,
  (r) => r.protocol.readByte(),
  (w, v) => w.protocol.writeByte(v),
)
export const i16 = scalar(
  TType.I16,
  2,
  0,
  (r) => r.protocol.readI16(),
  (w, v) => w.protocol.writeI16(v),
)
export const i32 = scalar(
  TType.I32,
  4,
  0,
  (r) => r.protocol.readI32(),
  (w, v) => w.protocol.writeI32(v),
)
export const string = scalar(
  TType.STRING,
  4,
  '',
  (r) => r.protocol.readString(),
  (w, v) => w.protocol.writeString(v),
)

/** i64 in full: scan context ids, hashes, increments. */
export const i64 = scalar(
  TType.I64,
  8,
  0n,
  (r) => r.transport.readI64(),
  (w, v) => w.transport.writeI64(v),
)

/** i64 that counts something (decrees, ballots, milliseconds): a number, refused when it would be rounded. */
export const int53 = scalar(
  TType.I64,
  8,
  0,
  (r) => {
    const value = r.transport.readI32() * 2 ** 32 + (r.transport.readI32() >>> 0)
    if (!Number.isSafeInteger(value)) throw malformed(`i64 ${value} out of range`)
    return value
  },
  (w, v) => i64.write(w, BigInt(v)),
)

/** A thrift enum: i32 on the wire, an open set (an unknown value stays a number). */
export function enumeration<E extends number>(zero: E): WireType<E> {
  return scalar(
    TType.I32,
    4,
    zero,
    (r) => i32.read(r) as E,
    (w, v) => i32.write(w, v),
  )
}

/** Values in all lists and maps of one message: an empty struct is one byte on the wire, and an object with all its fields here. */
const MAX_ELEMENTS = 2_000_000

function checkSize(reader: Reader, count: number, types: readonly AnyWireType[], what: string): void {
  const sum = (part: 'minBytes' | 'weight') => types.reduce((total, type) => total + (type[part] ?? 1), 0)
  if (count < 0 || count * sum('minBytes') > reader.transport.remaining) {
    throw malformed(`${what} claims ${count} elements, ${reader.transport.remaining} bytes left`)
  }

  reader.elements += count * sum('weight')
  if (reader.elements > MAX_ELEMENTS) throw malformed(`more than ${MAX_ELEMENTS} values in one message`)
}

function checkType(found: number, expected: number, what: string): void {
  if (found !== expected) throw malformed(`${what}: wire type ${found} where ${expected} belongs`)
}

export function list<T>(element: WireType<T>): WireType<T[]> & {element: WireType<T>} {
  return {
    element,
    minBytes: 5,
    read(r) {
      const {etype, size} = r.protocol.readListBegin()
      checkSize(r, size, [element], 'list')
      if (size > 0) checkType(etype, element.typeId, 'list element')
      return Array.from({length: size}, () => element.read(r))
    },
    typeId: TType.LIST,
    write(w, values) {
      w.protocol.writeListBegin(element.typeId, values.length)
      for (const value of values) element.write(w, value)
    },
    zero: () => [],
  }
}

export function map<K, V>(
  key: WireType<K>,
  value: WireType<V>,
): WireType<Map<K, V>> & {key: WireType<K>; value: WireType<V>} {
  return {
    key,
    minBytes: 6,
    read(r) {
      const {ktype, size, vtype} = r.protocol.readMapBegin()
      checkSize(r, size, [key, value], 'map')
      const result = new Map<K, V>()
      if (size > 0) {
        checkType(ktype, key.typeId, 'map key')
        checkType(vtype, value.typeId, 'map value')
      }

      for (let i = 0; i < size; i++) result.set(key.read(r), value.read(r))
      return result
    },
    typeId: TType.MAP,
    value,
    write(w, entries) {
      w.protocol.writeMapBegin(key.typeId, value.typeId, entries.size)
      for (const [k, v] of entries) {
        key.write(w, k)
        value.write(w, v)
      }
    },
    zero: () => new Map(),
  }
}

/** One field of a struct: `at` is always written, `opt` only when it has a value. */
export interface Field<T, Optional extends boolean> {
  id: number
  optional: Optional
  type: WireType<T>
}

/** A field that servers always write; absent, it reads as its zero. */
export function at<T>(id: number, type: WireType<T>): Field<T, false> {
  return {id, optional: false, type}
}

/** An optional field; absent, it is undefined. */
export function opt<T>(id: number, type: WireType<T>): Field<T, true> {
  return {id, optional: true, type}
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type AnyField = Field<any, boolean>
type Fields = Record<string, AnyField>
type RequiredKeys<F extends Fields> = {[K in keyof F]: F[K] extends {optional: true} ? never : K}[keyof F]
type OptionalKeys<F extends Fields> = {[K in keyof F]: F[K] extends {optional: true} ? K : never}[keyof F]
export type StructValue<F extends Fields> = {
  [K in OptionalKeys<F>]?: F[K] extends Field<infer T, boolean> ? T : never
} & {
  [K in RequiredKeys<F>]: F[K] extends Field<infer T, boolean> ? T : never
}

/** A struct of whatever fields. */
export type AnyStruct = StructType<Fields>

/** A struct, with what was declared: tests compare it to Pegasus's own tables. */
export interface StructType<F extends Fields> extends WireType<StructValue<F>> {
  fields: F
  name: string
}

/**
 * Declares a thrift struct once: its TypeScript type, encoder and decoder. Fields are written in order of id, as
 * Pegasus does. Unknown fields are skipped; note that the custom payloads (`custom-types.ts`) cannot be skipped
 * (protocol.md §1.4), so every known field of such a type must be declared.
 */
export function struct<F extends Fields>(name: string, fields: F): StructType<F> {
  const ordered = Object.entries(fields).sort(([, a], [, b]) => a.id - b.id)
  const byId = new Map(ordered.map(([key, field]) => [field.id, {field, key}]))
  const zero = () => {
    const value: Record<string, unknown> = {}
    for (const [key, field] of ordered) if (!field.optional) value[key] = field.type.zero()
    return value as StructValue<F>
  }

  return {
    fields,
    minBytes: 1,
    name,
    read(r) {
      const value = zero() as Record<string, unknown>
      for (;;) {
        const {fid, ftype} = r.protocol.readFieldBegin()
        if (ftype === TType.STOP) return value as StructValue<F>
        const known = byId.get(fid)
        if (known === undefined) {
          r.protocol.skip(ftype)
        } else {
          checkType(ftype, known.field.type.typeId, `${name}.${known.key}`)
          value[known.key] = known.field.type.read(r)
        }
      }
    },
    typeId: TType.STRUCT,
    weight: 1 + ordered.length,
    write(w, value) {
      for (const [key, field] of ordered) {
        const fieldValue = (value as Record<string, unknown>)[key]
        if (fieldValue === undefined) {
          if (field.optional) continue
          throw new TypeError(`${name}.${key} is required`)
        }

        w.protocol.writeFieldBegin(key, field.type.typeId, field.id)
        field.type.write(w, fieldValue)
      }

      w.protocol.writeFieldStop()
    },
    zero,
  }
}

/** A struct with this value alone at `id`: the wrapper of arguments (id 1) and results (id 0). */
export function encodeWrapped<T>(writer: Writer, id: number, type: WireType<T>, value: T): void {
  writer.protocol.writeFieldBegin('', type.typeId, id)
  type.write(writer, value)
  writer.protocol.writeFieldStop()
}

/** Reads what `encodeWrapped` wrote. The id is not checked, as servers do not (protocol.md §1.2). */
export function decodeWrapped<T>(reader: Reader, type: WireType<T>): T {
  const {ftype} = reader.protocol.readFieldBegin()
  checkType(ftype, type.typeId, 'argument or result')
  const value = type.read(reader)
  checkType(reader.protocol.readFieldBegin().ftype, TType.STOP, 'end of argument or result')
  return value
}

/** The bare bytes of a value. */
export function encode<T>(type: WireType<T>, value: T): Buffer {
  const writer = createWriter()
  type.write(writer, value)
  return writer.transport.toBuffer()
}

/** @throws MigratorError `rpc.malformed` also when bytes are left over. */
export function decode<T>(type: WireType<T>, bytes: Buffer): T {
  return decodeWith(bytes, (reader) => {
    const value = type.read(reader)
    if (reader.transport.remaining > 0) throw malformed(`${reader.transport.remaining} bytes left over`)
    return value
  })
}
