import type {Clock} from '../../../src/lib/clock.js'

/** What `replica.deny_client_request` does to a request: nothing, ERR_INVALID_STATE, or silence (protocol.md §6.2). */
export interface Deny {
  how: 'reconfig' | 'timeout'
  read: boolean
  write: boolean
}

export const DENY_ENV = 'replica.deny_client_request'

export function parseDeny(value: string | undefined): Deny | undefined {
  const [how, what] = (value ?? '').split('*')
  if (how !== 'reconfig' && how !== 'timeout') return undefined
  return {how, read: what === 'all' || what === 'read', write: what === 'all' || what === 'write'}
}

interface Limit {
  delayMs: number
  units: number
}

/** One throttling env, counted per second: `<n>[K|M]*delay|reject*<ms>[,...]`, shared by the partitions (protocol.md §6.4). */
export class Throttle {
  private readonly delay: Limit | undefined
  private readonly reject: Limit | undefined
  private second = -1
  private used = 0

  constructor(
    readonly env: string,
    partitionCount: number,
    private readonly clock: Clock,
  ) {
    const limits = new Map<string, Limit>()
    for (const part of env.split(',')) {
      const [units = '0', kind = '', delayMs = '0'] = part.trim().split('*')
      const factor = units.endsWith('K') ? 1000 : units.endsWith('M') ? 1_000_000 : 1
      const perPartition = Math.floor((Number.parseInt(units, 10) * factor) / partitionCount) + 1
      limits.set(kind, {delayMs: Number(delayMs), units: perPartition})
    }

    this.delay = limits.get('delay')
    this.reject = limits.get('reject')
  }

  /** What becomes of one more request now. */
  take(units: number): {delayMs: number; kind: 'delay' | 'reject'} | undefined {
    const second = Math.floor(this.clock.nowMs() / 1000)
    if (second !== this.second) {
      this.second = second
      this.used = 0
    }

    this.used += units
    if (this.reject && this.used > this.reject.units) return {delayMs: this.reject.delayMs, kind: 'reject'}
    if (this.delay && this.used > this.delay.units) return {delayMs: this.delay.delayMs, kind: 'delay'}
    return undefined
  }
}

const ENVS = {
  read: 'replica.read_throttling',
  write: 'replica.write_throttling',
  writeBytes: 'replica.write_throttling_by_size',
} as const

/** The throttling envs of a table on one replica; kept while their text does not change. */
export class Throttles {
  private readonly active = new Map<string, Throttle>()

  constructor(
    private readonly partitionCount: number,
    private readonly clock: Clock,
  ) {}

  update(envs: Readonly<Record<string, string>>): void {
    for (const name of Object.values(ENVS)) {
      const env = envs[name]
      if (env === undefined) this.active.delete(name)
      else if (this.active.get(name)?.env !== env)
        this.active.set(name, new Throttle(env, this.partitionCount, this.clock))
    }
  }

  read(): ReturnType<Throttle['take']> {
    return this.active.get(ENVS.read)?.take(1)
  }

  write(bytes: number): ReturnType<Throttle['take']> {
    return this.active.get(ENVS.write)?.take(1) ?? this.active.get(ENVS.writeBytes)?.take(bytes)
  }
}
