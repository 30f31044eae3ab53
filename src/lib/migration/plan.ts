import {type EnvDifference, envDifferences} from './env-diff.js'
import type {Generation, PreflightFacts, ServerFacts} from './preflight/check.js'
import {LOWERED_SYNC_MS, predictWindow, type WindowPrediction} from './preflight/prediction.js'

/** What is moved and what it will cost, from the facts of Preflight; shown before anything is changed. */
export interface MigrationPlan {
  /** Settings of the table that are not the same on both sides; absent: the target has no such table yet, and gets the source's. */
  envDifferences?: EnvDifference[]
  /** The same with the config sync shortened first; absent where that cannot be had. */
  fastWindow?: WindowPrediction
  partitionCount: number
  replicaCount: number
  source: {generation: Generation; versions: string[]}
  /** Size of the table's files, one replica of each partition, MB; absent when no server told. */
  tableMb?: number
  target: {generation: Generation; versions: string[]}
  /** The write-deny window by the servers' own timers. */
  window: WindowPrediction
}

const versionsOf = (servers: readonly ServerFacts[]) =>
  [...new Set(servers.map(({version}) => version).filter((version) => version !== ''))].sort()

/** @returns undefined when the table could not be read */
export function planOf(facts: PreflightFacts): MigrationPlan | undefined {
  const {request, source, target, unread} = facts
  if (unread.has('source.table') || unread.has('source.configuration')) return undefined
  const replicaCount = Math.max(1, source.table.maxReplicaCount)
  const tableMb = source.servers.reduce((sum, server) => sum + (server.tableMb ?? 0), 0) / replicaCount
  const canLower = source.generation === '2.5' && request.fastCutover !== 'off'
  return {
    ...(target.table ? {envDifferences: envDifferences(source.table.envs, target.table.envs)} : {}),
    ...(canLower ? {fastWindow: predictWindow(facts, LOWERED_SYNC_MS)} : {}),
    partitionCount: source.configuration.partitionCount,
    replicaCount,
    source: {generation: source.generation, versions: versionsOf(source.servers)},
    ...(source.servers.some((server) => server.tableMb !== undefined) ? {tableMb} : {}),
    target: {generation: target.generation, versions: versionsOf(target.servers)},
    window: predictWindow(facts),
  }
}

/** The window that is to be expected: with the config sync shortened where that can be had. */
export function expectedWindow({fastWindow, window}: MigrationPlan): WindowPrediction {
  return fastWindow && fastWindow.sumMs < window.sumMs ? fastWindow : window
}
