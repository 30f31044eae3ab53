import {MigratorError, messageOf} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import {normalizePath, parseZooKeeperAuth, parseZooKeeperHosts} from '../metaproxy/zookeeper-options.js'
import type {CutoverWindow} from '../migration/cutover-window.js'
import {splitAddress} from '../rpc/transport.js'

const UNIT_MS: Record<string, number> = {h: 3_600_000, m: 60_000, ms: 1, s: 1000}
/** Timers of the platform hold no more. */
const MAX_DURATION_MS = 14 * 24 * 3_600_000
const COUNT_UNIT: Record<string, number> = {'': 1, K: 1000, M: 1_000_000}

function usage(message: string, input: string): MigratorError {
  return new MigratorError('usage', message, {exitCode: ExitCode.usage, facts: {input}})
}

/** `120s`, `2m`, `24h`, `500ms`: a whole or decimal number and its unit. @returns milliseconds */
export function parseDuration(input: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(input)
  if (!match) throw usage('not a duration: say a number and its unit, like 500ms, 120s, 5m or 24h', input)
  const durationMs = Math.round(Number(match[1]) * UNIT_MS[match[2]!]!)
  if (durationMs < 1) throw usage('a duration must be longer than nothing', input)
  if (durationMs > MAX_DURATION_MS) throw usage('a duration must not be longer than 336h', input)
  return durationMs
}

/** `10000`, `10K`, `2M` (thousands and millions). */
export function parseCount(input: string): number {
  const match = /^(\d+)([KM]?)$/i.exec(input)
  const count = match ? Number(match[1]) * COUNT_UNIT[match[2]!.toUpperCase()]! : Number.NaN
  if (!Number.isSafeInteger(count)) throw usage('not a count: say a whole number like 10000, 10K or 2M', input)
  return count
}

/** The same where none would be no limit but an end. */
export function parseAtLeastOne(input: string): number {
  const count = parseCount(input)
  if (count < 1) throw usage('must be 1 at least', input)
  return count
}

/** `02:00-05:00`, local time; `22:00-04:00` goes over midnight. */
export function parseCutoverWindow(input: string): CutoverWindow {
  const match = /^([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)$/.exec(input)
  if (!match) throw usage('not hours of the day: say from and to, like 02:00-05:00 or 22:00-04:00', input)
  const [fromHour, fromMinutes, toHour, toMinutes] = match.slice(1).map(Number) as [number, number, number, number]
  const [fromMinute, toMinute] = [fromHour * 60 + fromMinutes, toHour * 60 + toMinutes]
  if (fromMinute === toMinute) throw usage('the window ends when it begins', input)
  return {fromMinute, toMinute}
}

/** Comma list of `host:port`, none twice. */
export function parseAddresses(input: string): string[] {
  const addresses = input.split(',').map((address) => address.trim())
  for (const [index, address] of addresses.entries()) {
    if (address === '') throw usage('an empty place in the list: say host:port,host:port', input)
    try {
      splitAddress(address)
    } catch {
      throw usage('not host:port (port 1 to 65535), several with commas between them', address)
    }

    if (addresses.indexOf(address) !== index) throw usage('the same address twice', address)
  }

  return addresses
}

/** Name of a table: what the servers' own shell accepts, and `-`. */
export function parseTableName(input: string): string {
  if (!/^[\w.:][\w.:-]*$/.test(input) || input.length > 255 || /^\.+$/.test(input))
    throw usage('not a table name: letters, digits, _ . : and - only', input)
  return input
}

/** Name of a cluster, as in `[pegasus.clusters]` of the source's servers. */
export function parseClusterName(input: string): string {
  if (!/^\w[\w.:-]*$/.test(input) || input.length > 255)
    throw usage('not a cluster name: letters, digits, _ . : and - only', input)
  return input
}

/** Absolute ZooKeeper path, like `/pegasus-metaproxy`. */
export function parseRoot(input: string): string {
  if (!input.startsWith('/') || /\s|\/\/|.\/$/.test(input))
    throw usage('not a ZooKeeper path: say it from the root, like /pegasus-metaproxy', input)
  return asUsage(input, () => normalizePath(input)) || '/'
}

/** ZooKeeper servers `host:port,host:port`, with or without a path after them. */
export function parseZooKeeper(input: string): string {
  asUsage(input, () => parseZooKeeperHosts(input))
  return input
}

function asUsage<T>(input: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw usage(messageOf(error), input)
  }
}

/** Ids of preflight checks, with commas between them. */
export function parseCheckIds(input: string): string[] {
  const ids = input.split(',').map((id) => id.trim())
  for (const id of ids)
    if (!/^[a-z\d]+(-[a-z\d]+)*$/.test(id)) throw usage('not the name of a check, like direct-clients', id)
  return ids
}

/** Checks the value of PEGASUS_ZK_AUTH. It holds a password: no message says what it was. */
export function checkZooKeeperAuth(input: string): string {
  try {
    parseZooKeeperAuth(input)
    return input
  } catch (error) {
    throw new MigratorError('usage', `PEGASUS_ZK_AUTH: ${messageOf(error)}`, {exitCode: ExitCode.usage})
  }
}
