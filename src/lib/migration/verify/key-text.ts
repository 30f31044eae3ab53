import {createHash} from 'node:crypto'
import type {Row, RowDigest} from './types.js'

const longestText = 256

function escape(bytes: Buffer): string {
  let text = ''
  for (const byte of bytes.subarray(0, longestText)) {
    const printable = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
    text += printable ? String.fromCodePoint(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }

  return bytes.length > longestText ? `"${text}"… (${bytes.length} bytes)` : `"${text}"`
}

/** A full key for people and JSON: `"hash key" "sort key"`, safe to print. A key too short to be one is shown whole. */
export function keyText(key: Buffer): string {
  const hashKeyEnd = key.length < 2 ? Infinity : 2 + key.readUInt16BE(0)
  if (hashKeyEnd > key.length) return escape(key)
  return `${escape(key.subarray(2, hashKeyEnd))} ${escape(key.subarray(hashKeyEnd))}`
}

/** What may be told of a row's value. */
export function digest(row: Row, showValue = false): RowDigest {
  const {expireTsSeconds, value} = row
  const shown = showValue ? {value: escape(value)} : {}
  return {bytes: value.length, expireTsSeconds, hash: hash(value).slice(0, 16), ...shown}
}

/** Stands for what a side held under a key, at a few bytes: equal texts, equal rows. */
export function fingerprint(row: Row | undefined): string {
  return row ? `${row.expireTsSeconds}:${hash(row.value)}` : 'absent'
}

function hash(value: Buffer): string {
  return createHash('sha256').update(value).digest('hex')
}
