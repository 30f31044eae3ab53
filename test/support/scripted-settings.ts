import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import type {Effect} from '../../src/lib/migration/effects.js'
import {BATCH_BYTES, SYNC_INTERVAL} from '../../src/lib/migration/settings.js'
import {MetaFunctionLevel} from '../../src/lib/rpc/structs/cluster.js'
import {FIRST, type ScriptedMigration} from './scripted-migration.js'

type ServerConfig = Extract<Effect, {kind: 'set-server-config'}>
type MetaLevel = Extract<Effect, {kind: 'set-meta-level'}>

/** A server's config sync is shortened from half a minute. */
export const lowered = (server: string = FIRST, changes: Partial<ServerConfig> = {}): ServerConfig => ({
  before: '30000',
  kind: 'set-server-config',
  name: SYNC_INTERVAL,
  server,
  side: 'source',
  value: '1000',
  ...changes,
})

/** A server ships one mutation at a time. */
export const unbatched = (server: string = FIRST, changes: Partial<ServerConfig> = {}): ServerConfig =>
  lowered(server, {before: '4096', name: BATCH_BYTES, value: '0', ...changes})

/** The source's balancer is stopped. */
export const steady: MetaLevel = {before: 'lively', kind: 'set-meta-level', level: 'steady', side: 'source'}

/** Servers and metas of the source show what was set. */
export function keepSettings(script: ScriptedMigration): void {
  const before = script.afterEffect
  script.afterEffect = (effect) => {
    before(effect)
    const {source} = script
    if (effect.kind === 'set-server-config') source.config.set(`${effect.server} ${effect.name}`, effect.value)
    if (effect.kind === 'set-meta-level') {
      source.metaLevel = MetaFunctionLevel[`fl_${effect.level}` as keyof typeof MetaFunctionLevel]
    }
  }
}

/** Each answer to a question takes so long; the last of them from then on. */
export function takes(script: ScriptedMigration, question: string, ...ms: number[]): void {
  const before = script.onAsk
  let asked = 0
  script.onAsk = async (other) => {
    await before(other)
    if (other === question) await sleep(script.clock, ms[Math.min(asked++, ms.length - 1)]!)
  }
}

/** The operator leaves while a question is under way that nobody answers: what asked it ends with that, at once. */
export async function endsDuring(script: ScriptedMigration, question: string, work: () => Promise<unknown>) {
  const why = new Error('Ctrl-C')
  const before = script.onAsk
  script.onAsk = async (asked) => {
    await before(asked)
    if (asked !== question) return
    script.clock.setTimer(100, () => script.abort.abort(why))
    await new Promise(() => {})
  }

  await assert.rejects(script.run(work()), why, question)
}
