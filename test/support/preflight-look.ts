import type {Clock} from '../../src/lib/clock.js'
import type {CheckResult, PreflightFacts} from '../../src/lib/migration/preflight/check.js'
import {gatherFacts, type GatherOptions} from '../../src/lib/migration/preflight/gather.js'
import {runPreflight} from '../../src/lib/migration/preflight/index.js'
import type {MigrationRequest} from '../../src/lib/migration/request.js'
import type {Sandbox} from '../sandbox/index.js'
import {requestOf} from '../unit/preflight/healthy-facts.js'
import {WatchedClient} from './watched-client.js'

export interface Look {
  client: WatchedClient
  facts: PreflightFacts
  results: Map<string, CheckResult>
  tookMs: number
}

export interface LookOptions extends Partial<GatherOptions> {
  clock: Clock
  request?: Partial<MigrationRequest>
}

/** Gathers and judges over the wire; host names are all this machine. */
export async function look(sandbox: Sandbox, {clock, request, ...options}: LookOptions): Promise<Look> {
  const client = new WatchedClient(clock, sandbox.transport)
  try {
    const beginMs = clock.nowMs()
    const facts = await gatherFacts(
      requestOf({
        maxWriteDenyMs: 600_000,
        metaproxy: undefined,
        proxies: [],
        sourceMetas: sandbox.source.metas,
        targetMetas: sandbox.target.metas,
        ...request,
      }),
      client,
      {resolve: async () => ['127.0.0.1'], signal: new AbortController().signal, ...options},
    )
    const results = await runPreflight(facts)
    const tookMs = clock.nowMs() - beginMs
    return {client, facts, results: new Map(results.map((result) => [result.id, result])), tookMs}
  } finally {
    await client.close()
  }
}

/** What would keep the migration from beginning. */
export function stopping(results: Map<string, CheckResult>): string[] {
  return [...results.values()]
    .filter(({severity}) => severity === 'error' || severity === 'confirm')
    .map(({evidence, id}) => `${id}: ${evidence}`)
}
