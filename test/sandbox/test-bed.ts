import {type Sandbox, type SandboxOptions, startSandbox, VirtualClock} from './index.js'
import {TestClient} from './test-client.js'

/** A sandbox in memory on virtual time, with a client. */
export interface Bed {
  client: TestClient
  clock: VirtualClock
  sandbox: Sandbox
}

/** Runs `test` on a fresh bed, all of it on virtual time. */
export function onBed(
  options: Partial<Omit<SandboxOptions, 'clock' | 'listen'>>,
  test: (bed: Bed) => Promise<void>,
): () => Promise<void> {
  return async () => {
    const clock = new VirtualClock()
    const run = async () => {
      const sandbox = await startSandbox({clock, listen: 'memory', profile: '2.5', ...options})
      const client = new TestClient(sandbox, clock)
      try {
        await test({client, clock, sandbox})
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
