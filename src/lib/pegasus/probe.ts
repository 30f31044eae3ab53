import {isMigratorError, type MigratorError} from '../errors.js'
import {dataCalls} from '../rpc/calls.js'
import type {CallOptions} from '../rpc/connection.js'
import type {Gpid} from '../rpc/custom-types.js'
import type {ConnectionPool} from '../rpc/pool.js'
import {rpcErrorName} from '../rpc/rpc-errors.js'
import {CasCheckType, StorageStatus} from '../rpc/structs/rrdb.js'
import {crc64, encodeKey, hashKeyFor} from './key-hash.js'

/* Whether a primary takes writes and reads of clients (protocol.md §6.3, measured.md §2 and E3). */

/** A name that surely nobody uses: the probe's check must fail. */
const HASH_KEY_PREFIX = '__table_migrator_probe__'
const SORT_KEY = Buffer.from('absent')

export interface ProbeOptions {
  signal?: AbortSignal
  timeoutMs: number
}

export interface WriteProbe {
  /** What was seen, in Pegasus's words. */
  detail: string
  /**
   * `denied-reconfig`: ERR_INVALID_STATE; also a server without a meta leader, and a non-primary of a table that is not
   * duplicating. `silent`: no answer; `timeout*`, or the server hangs. `unknown`: anything else.
   */
  verdict: 'denied-reconfig' | 'not-denied' | 'silent' | 'unknown'
}

export interface ReadProbe {
  detail: string
  verdict: 'ok' | 'refused' | 'silent' | 'unknown'
}

function target(pid: Gpid, partitionCount: number, options: ProbeOptions): {hashKey: Buffer; options: CallOptions} {
  const hashKey = hashKeyFor(pid.partitionIndex, partitionCount, HASH_KEY_PREFIX)
  return {hashKey, options: {...options, partitionHash: crc64(hashKey), pid}}
}

/**
 * Sends a CHECK_AND_SET that must fail its check, so that nothing is stored.
 * @throws MigratorError rpc.aborted only
 */
export async function probeWrite(
  pool: ConnectionPool,
  address: string,
  pid: Gpid,
  partitionCount: number,
  options: ProbeOptions,
): Promise<WriteProbe> {
  const {hashKey, options: callOptions} = target(pid, partitionCount, options)
  const request = {
    checkOperand: Buffer.alloc(0),
    checkSortKey: SORT_KEY,
    checkType: CasCheckType.CT_VALUE_EXIST,
    hashKey,
    returnCheckValue: false,
    setDiffSortKey: false,
    setExpireTsSeconds: 0,
    setSortKey: Buffer.alloc(0),
    setValue: Buffer.alloc(0),
  }
  try {
    const {error} = await pool.call(address, dataCalls.checkAndSet, request, callOptions)
    return {detail: `error ${error}`, verdict: error === StorageStatus.tryAgain ? 'not-denied' : 'unknown'}
  } catch (error) {
    const name = rpcErrorName(error)
    if (name === 'ERR_INVALID_STATE') return {detail: name, verdict: 'denied-reconfig'}
    if (name === 'ERR_OPERATION_DISABLED') return {detail: name, verdict: 'not-denied'}
    return failed(error)
  }
}

/** Reads the key that `probeWrite` uses. @throws MigratorError rpc.aborted only */
export async function probeRead(
  pool: ConnectionPool,
  address: string,
  pid: Gpid,
  partitionCount: number,
  options: ProbeOptions,
): Promise<ReadProbe> {
  const {hashKey, options: callOptions} = target(pid, partitionCount, options)
  try {
    const {error} = await pool.call(address, dataCalls.get, encodeKey(hashKey, SORT_KEY), callOptions)
    const served = error === StorageStatus.ok || error === StorageStatus.notFound
    return {detail: `error ${error}`, verdict: served ? 'ok' : 'unknown'}
  } catch (error) {
    const name = rpcErrorName(error)
    return name === 'ERR_INVALID_STATE' ? {detail: name, verdict: 'refused'} : failed(error)
  }
}

function failed(error: unknown): {detail: string; verdict: 'silent' | 'unknown'} {
  if (!isMigratorError(error) || error.code === 'rpc.aborted') throw error
  const {code, message}: MigratorError = error
  return {detail: rpcErrorName(error) ?? message, verdict: code === 'rpc.timeout' ? 'silent' : 'unknown'}
}
