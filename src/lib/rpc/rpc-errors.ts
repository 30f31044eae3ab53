import {isMigratorError, MigratorError, messageOf} from '../errors.js'

/*
 * Error codes of this folder: rpc.connect, rpc.connection_lost, rpc.timeout, rpc.aborted, rpc.malformed,
 * rpc.too_large, rpc.server_error, rpc.unauthenticated; http.connection, http.timeout, http.status,
 * http.malformed, http.too_large.
 */

/** RPC-level answers that are given before anything is executed (protocol.md §6.2, §7.1, §8.3). */
const NOT_EXECUTED = new Set([
  'ERR_ACL_DENY',
  'ERR_BUSY',
  'ERR_HANDLER_NOT_FOUND',
  'ERR_OBJECT_NOT_FOUND',
  'ERR_OPERATION_DISABLED',
])

/** What a server sent, fit for a message: nothing that steers a terminal, cut to `limit` characters. */
export function excerpt(text: string, limit = 200): string {
  const clean = text
    .slice(0, limit + 1)
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
  return text.length > limit ? `${clean.slice(0, limit)}…` : clean
}

/** The RPC-level error name, such as `ERR_INVALID_STATE`, of an `rpc.server_error`; else undefined. */
export function rpcErrorName(error: unknown): string | undefined {
  return isMigratorError(error, 'rpc.server_error') ? String(error.facts.error) : undefined
}

/** Which call to which server an error is about. */
export interface CallSite {
  address: string
  call: string
}

export function connectError(address: string, cause: unknown): MigratorError {
  return new MigratorError('rpc.connect', `no connection to ${address}: ${messageOf(cause)}`, {
    cause,
    facts: {address},
    retrySafe: true,
  })
}

/** @param unsent whether it is certain that not a byte of the request left */
export function lostError(
  site: CallSite,
  why: string,
  o: {cause?: unknown; retrySafe: boolean; unsent?: boolean},
): MigratorError {
  const outcome = o.unsent ? 'nothing was sent' : o.retrySafe ? 'safe to repeat' : 'it may have been executed'
  return new MigratorError('rpc.connection_lost', `${site.address} ${why} during ${site.call}; ${outcome}`, {
    cause: o.cause,
    facts: {...site},
    retrySafe: o.retrySafe,
  })
}

export function timeoutError(site: CallSite, timeoutMs: number, retrySafe: boolean): MigratorError {
  return new MigratorError(
    'rpc.timeout',
    `${site.address} did not answer ${site.call} within ${Math.round(timeoutMs)} ms`,
    {
      facts: {...site, timeoutMs: Math.round(timeoutMs)},
      retrySafe,
    },
  )
}

/** The caller gave up; its reason is the cause. */
export function abortedError(site: CallSite, reason: unknown): MigratorError {
  return new MigratorError('rpc.aborted', `${site.call} to ${site.address} was given up: ${messageOf(reason)}`, {
    cause: reason,
    facts: {...site},
  })
}

export function serverError(site: CallSite, error: string, idempotent: boolean): MigratorError {
  return new MigratorError('rpc.server_error', `${site.address} answered ${excerpt(error, 80)} to ${site.call}`, {
    facts: {...site, error: excerpt(error, 80)},
    retrySafe: idempotent || NOT_EXECUTED.has(error),
  })
}

/** A reply that cannot be read: the same error, told of the call that it ends. */
export function brokenError(site: CallSite, error: MigratorError, retrySafe: boolean): MigratorError {
  return new MigratorError(error.code, `${site.call} of ${site.address}: ${error.message}`, {
    cause: error.cause,
    facts: {...error.facts, ...site},
    retrySafe,
  })
}

export function tooLargeError(what: string, bytes: number, maxBytes: number): MigratorError {
  return new MigratorError('rpc.too_large', `${what} of ${bytes} bytes, at most ${maxBytes} accepted`, {
    facts: {bytes, maxBytes},
  })
}

export function unauthenticatedError(address: string, mechanisms: string, cause: unknown): MigratorError {
  return new MigratorError(
    'rpc.unauthenticated',
    `${address} requires Kerberos (SASL) authentication, which this tool does not speak: it closed the connection` +
      ` without an answer and offers ${excerpt(mechanisms, 80) || 'no mechanism'}`,
    {
      cause,
      facts: {address, mechanisms: excerpt(mechanisms, 80)},
      next: 'set [security] mandatory_auth = false on the servers for the time of the migration, or migrate by other means',
    },
  )
}
