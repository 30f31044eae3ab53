/** The part of thrift's binary protocol that the codec uses; the package's own types do not cover deep imports. */
declare module 'thrift/lib/nodejs/lib/thrift/binary_protocol.js' {
  export default class TBinaryProtocol {
    constructor(transport: unknown, strictRead?: boolean, strictWrite?: boolean)
    readBinary(): Buffer
    readBool(): boolean
    readByte(): number
    readFieldBegin(): {fid: number; ftype: number}
    readI16(): number
    readI32(): number
    readListBegin(): {etype: number; size: number}
    readMapBegin(): {ktype: number; size: number; vtype: number}
    readMessageBegin(): {fname: string; mtype: number; rseqid: number}
    readString(): string
    skip(type: number): void
    writeBinary(bytes: Buffer): void
    writeBool(value: boolean): void
    writeByte(value: number): void
    writeFieldBegin(name: string, type: number, id: number): void
    writeFieldStop(): void
    writeI16(value: number): void
    writeI32(value: number): void
    writeListBegin(etype: number, size: number): void
    writeMapBegin(ktype: number, vtype: number, size: number): void
    writeMessageBegin(name: string, type: number, seqid: number): void
    writeString(value: string): void
  }
}
