import {lookup} from 'node:dns/promises'
import {isIPv4} from 'node:net'

import {type Clock, deadline} from '../../clock.js'
import {splitAddress} from '../../rpc/transport.js'
import type {PreflightFacts} from './check.js'

/** IPv4 addresses of a host name. @throws when it has none */
export type ResolveHost = (host: string) => Promise<string[]>

export const resolveByDns: ResolveHost = async (host) => {
  const found = await lookup(host, {all: true, family: 4})
  return found.map(({address}) => address)
}

/** A name that is not resolved by then counts as unknown. */
const RESOLVE_MS = 1500

/** `a:1, b:2` as configuration files write it → its entries. */
export function splitAddresses(list: string): string[] {
  return list
    .split(',')
    .map((entry) => entry.trim())
    .filter(Boolean)
}

/** Whether the text is `host:port`. */
export function isAddress(text: string): boolean {
  try {
    splitAddress(text)
    return true
  } catch {
    return false // that is the answer
  }
}

/** Brings addresses into one form: master names servers by host name where 2.4 and 2.5 write numbers. */
export class AddressBook {
  private readonly hosts = new Map<string, Promise<string | undefined>>()

  constructor(
    private readonly clock: Clock,
    private readonly resolve: ResolveHost,
  ) {}

  /** Address → `a.b.c.d:port`. Names that cannot be resolved from here are left out: the servers may know them. */
  async resolveAll(addresses: Iterable<string>): Promise<Map<string, string>> {
    const known = [...new Set(addresses)].filter((address) => isAddress(address))
    const resolved = await Promise.all(known.map(async (address) => [address, await this.resolveOne(address)] as const))
    return new Map(resolved.flatMap(([address, ip]) => (ip === undefined ? [] : [[address, ip]])))
  }

  private async resolveOne(address: string): Promise<string | undefined> {
    const {host, port} = splitAddress(address)
    if (isIPv4(host)) return address
    const asked = this.hosts.get(host) ?? this.lookUp(host)
    this.hosts.set(host, asked)
    const ip = await asked
    return ip === undefined ? undefined : `${ip}:${port}`
  }

  private async lookUp(host: string): Promise<string | undefined> {
    const limit = deadline(this.clock, RESOLVE_MS, () => new Error(`${host} not resolved within ${RESOLVE_MS} ms`))
    try {
      const tooLate = new Promise<never>((_, reject) => {
        limit.signal.addEventListener('abort', () => reject(limit.signal.reason), {once: true})
      })
      const [first] = await Promise.race([this.resolve(host), tooLate])
      return first
    } catch {
      return undefined // unknown here; the address is then compared as it is written
    } finally {
      limit.dispose()
    }
  }
}

/** The one form of an address that two of them are compared by. */
export function canonical(facts: Pick<PreflightFacts, 'addresses'>, address: string): string {
  return facts.addresses.get(address) ?? address
}

/** Those of `addresses` that are none of `known`. */
export function strangers(
  facts: Pick<PreflightFacts, 'addresses'>,
  addresses: readonly string[],
  known: readonly string[],
): string[] {
  const set = new Set(known.map((address) => canonical(facts, address)))
  return addresses.filter((address) => !set.has(canonical(facts, address)))
}
