import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {type Sandbox, type SandboxOptions, startSandbox, VirtualClock} from './index.js'
import {TestClient} from './test-client.js'

/** A sandbox in memory on virtual time, with a client. */
export interface Bed {
  client: TestClient
  clock: VirtualClock
  sandbox: Sandbox
}

/** Runs `body` on a fresh bed, all of it on virtual time. */
export function onBed(
  options: Partial<Omit<SandboxOptions, 'clock' | 'listen'>>,
  body: (bed: Bed) => Promise<void>,
): () => Promise<void> {
  return async () => {
    const clock = new VirtualClock()
    const run = async () => {
      const sandbox = await startSandbox({clock, listen: 'memory', profile: '2.5', ...options})
      const client = new TestClient(sandbox, clock)
      try {
        await body({client, clock, sandbox})
      } finally {
        client.close()
        await sandbox.stop()
      }
    }

    await clock.run(run())
  }
}

/** 4 partitions of 3 replicas with some rows, old enough to have decrees. */
export async function smallTable({sandbox}: Bed, name = 't', rows = 400): Promise<void> {
  await sandbox.source.createTable(name, {partitionCount: 4, replicaCount: 3})
  sandbox.source.loadRows(
    name,
    Array.from({length: rows}, (_, i) => ({hashKey: `row${i}`, value: `value ${i}`})),
  )
}

/** Writes to every partition of `t` until stopped, some times a second. */
export function keepWriting({client, clock, sandbox}: Bed): {stop(): Promise<Map<string, string>>} {
  const acked = new Map<string, string>()
  let stopped = false
  const run = async () => {
    for (let i = 0; !stopped; i++) {
      const [key, value] = [`live${i % 40}`, `v${i}`]
      if ((await client.outcome(client.put(sandbox.source, 't', key, value))) === 'OK') acked.set(key, value)
      await sleep(clock, 100)
    }
  }

  const running = run()
  return {
    async stop() {
      stopped = true
      await running
      return acked
    },
  }
}

/** Keys whose last acknowledged value the target does not have. */
export function wrongOnTarget({client, sandbox}: Bed, acked: Map<string, string>): string[] {
  return [...acked].filter(([key, value]) => client.valueOf(sandbox.target, 't', key) !== value).map(([key]) => key)
}

/** Waits for the status of the duplication of `t`. @returns the milliseconds that it took */
export async function untilStatus({client}: Bed, status: DuplicationStatus, limitMs: number): Promise<number> {
  return client.until(async () => (await client.status('t')) === status, limitMs, DuplicationStatus[status], 100)
}

/** Asserts that something took the time that was measured. */
export const within = (value: number, low: number, high: number, what: string) =>
  assert.ok(value >= low && value <= high, `${what} after ${value} ms, not ${low}..${high}`)
