import {CasCheckType} from '../../../src/lib/rpc/structs/rrdb.js'

/**
 * The check of CHECK_AND_SET and CHECK_AND_MUTATE against the value that is there.
 * @returns whether it holds, or undefined for an argument that makes no sense (rocksdb's InvalidArgument)
 */
export function checkHolds(type: CasCheckType, operand: Buffer, value: Buffer | undefined): boolean | undefined {
  switch (type) {
    case CasCheckType.CT_NO_CHECK: {
      return true
    }

    case CasCheckType.CT_VALUE_NOT_EXIST: {
      return value === undefined
    }

    case CasCheckType.CT_VALUE_NOT_EXIST_OR_EMPTY: {
      return value === undefined || value.length === 0
    }

    case CasCheckType.CT_VALUE_EXIST: {
      return value !== undefined
    }

    case CasCheckType.CT_VALUE_NOT_EMPTY: {
      return value !== undefined && value.length > 0
    }

    default: {
      return value === undefined ? false : compare(type, operand, value)
    }
  }
}

function compare(type: CasCheckType, operand: Buffer, value: Buffer): boolean | undefined {
  if (type <= CasCheckType.CT_VALUE_MATCH_POSTFIX) {
    if (type === CasCheckType.CT_VALUE_MATCH_ANYWHERE) return value.includes(operand)
    if (value.length < operand.length) return false
    const part =
      type === CasCheckType.CT_VALUE_MATCH_PREFIX
        ? value.subarray(0, operand.length)
        : value.subarray(value.length - operand.length)
    return part.equals(operand)
  }

  if (type <= CasCheckType.CT_VALUE_BYTES_GREATER) {
    return ordered(type - CasCheckType.CT_VALUE_BYTES_LESS, Buffer.compare(value, operand))
  }

  const left = integerOf(value)
  const right = integerOf(operand)
  if (left === undefined || right === undefined) return undefined
  return ordered(type - CasCheckType.CT_VALUE_INT_LESS, left < right ? -1 : left > right ? 1 : 0)
}

/** LESS, LESS_OR_EQUAL, EQUAL, GREATER_OR_EQUAL, GREATER. */
function ordered(step: number, order: number): boolean {
  return [order < 0, order <= 0, order === 0, order >= 0, order > 0][step]!
}

/** A value as INCR reads it: empty counts as 0, anything but digits is no number. */
export function integerOf(value: Buffer): bigint | undefined {
  const text = value.toString('latin1')
  if (text === '') return 0n
  return /^-?\d{1,19}$/.test(text) ? BigInt(text) : undefined
}
