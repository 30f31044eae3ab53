import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import {factsOf, type MigrationContext, type Phase} from '../context.js'
import {DENY_ENV} from '../effects-live.js'
import type {Progress} from '../events.js'
import {putSettingsBack} from '../settings.js'
import {waitUntil} from '../wait.js'

const POLL_MS = 1000

/** Takes away what the migration needed: only the source's `reconfig*all` stays (I5). */
export const finish: Phase = {
  id: 'finish',
  async observe() {
    return {done: false}
  },
  steps: [
    {act: removeDuplication, title: 'remove the duplication', wait: waitUntilForgotten},
    {act: cleanTarget, title: "clean the target's envs"},
    {act: restore, title: 'put every setting back'},
  ],
  summarize({request, state}) {
    const back = state.settingsPutBack.length
    return `duplication removed, ${back} settings put back; the source's copy of ${request.table} stays and refuses clients`
  },
}

async function removeDuplication(context: MigrationContext): Promise<void> {
  const {effects, state} = context
  // Gone already: an earlier run removed it.
  if (state.dupid === 0 && !context.dryRun) return
  await effects.perform({dupid: state.dupid, kind: 'remove-duplication'}, forwardOf(context))
}

/** Servers forget at their next duplication sync, 10 s at most (measured.md §5); dropping the table earlier crashes them. */
async function waitUntilForgotten(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {clock, forward, request, source, state} = context
  const {appId} = factsOf(context).source.configuration
  const servers = factsOf(context).source.servers.filter(({alive}) => alive).map(({address}) => address)
  await waitUntil<string[]>({
    clock,
    describe: (left) => `${left.join(', ')} still know it`,
    done: (left) => left.length === 0,
    intervalMs: POLL_MS,
    limitMs: request.limits.finishMs,
    async observe() {
      const entries = await source.duplications(request.table, {signal: forward})
      if (entries.some(({dupid, status}) => dupid === state.dupid && status !== DuplicationStatus.DS_REMOVED)) {
        return ['the meta']
      }

      const nodes = await source.nodes({signal: forward})
      const alive = new Set(nodes.filter((node) => node.alive).map(({address}) => address))
      const knowing = await Promise.all(
        servers
          .filter((address) => alive.has(address))
          .map(async (address) => {
            const {states} = await source.server(address).duplicationStates(appId, {signal: forward})
            return states.some(({dupid}) => dupid === state.dupid) ? address : undefined
          }),
      )
      return knowing.filter((address) => address !== undefined)
    },
    onProgress: (left) =>
      report({partitionCount: servers.length, partitionsDone: servers.length - left.length, text: `${left.length} servers still know the duplication`}),
    signal: forward,
    stage: `removal of duplication ${state.dupid}`,
  })
}

/** Left there, `duplication.*` would make a later duplication of this table copy from the wrong cluster (protocol.md §3.12). */
async function cleanTarget(context: MigrationContext): Promise<void> {
  const {effects, request, target} = context
  if (context.dryRun) {
    const keys = ['duplication.master_cluster', 'duplication.master_metas']
    await effects.perform({before: {}, keys, kind: 'delete-target-envs'}, context.signal)
    return
  }

  const table = await target.table(request.table, {patienceMs: 60_000, signal: context.forward})
  const before = Object.fromEntries([...(table?.envs ?? [])].filter(([key]) => key.startsWith('duplication.') || key === DENY_ENV))
  const keys = Object.keys(before).sort()
  if (keys.length > 0) await effects.perform({before, keys, kind: 'delete-target-envs'}, context.forward)
}

async function restore(context: MigrationContext): Promise<void> {
  if (context.dryRun) return
  await putSettingsBack(context, context.forward)
}

function forwardOf(context: MigrationContext): AbortSignal {
  return context.dryRun ? context.signal : context.forward
}
