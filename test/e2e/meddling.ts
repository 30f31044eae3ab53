import assert from 'node:assert/strict'

import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import type {MigrationResult} from '../../src/lib/migration/index.js'
import {withNodes} from './bed.js'
import {DENY_ENV} from './invariants.js'
import {before} from './moments.js'
import type {Scene} from './scene.js'

/* What others do to a table while it is migrated, past the library under test. */

/** The only duplication of the scene's table. */
export function duplicationOf({source, table}: Scene) {
  const all = source.state.duplications.of(source.table(table).info.appId)
  assert.equal(all.length, 1)
  return all[0]!
}

export function duplicationsOf({source, table}: Scene) {
  return source.state.duplications.of(source.table(table).info.appId)
}

/** Adds a duplication as some other operator's tool would. */
export function addForeign({source, table, target}: Scene, isDuplicatingCheckpoint: boolean): void {
  const answer = source.state.duplications.add({
    appName: table,
    isDuplicatingCheckpoint,
    remoteClusterName: target.name,
  })
  assert.equal(answer.err, 'ERR_OK')
  assert.notEqual(answer.dupid, 0)
}

/** Sets or takes away the deny env in the metas of a side; servers hear of it with their next config sync. */
export function setDeny(scene: Scene, side: 'source' | 'target', value: string | undefined): void {
  const {envs} = scene[side].table(scene.table).info
  if (value === undefined) envs.delete(DENY_ENV)
  else envs.set(DENY_ENV, value)
}

/** Writes the table's node, whatever its version is. */
export function nameInNode(scene: Scene, {metas, name}: {metas: string[]; name: string}): Promise<void> {
  return withNodes(scene.bed, (nodes) => nodes.set(scene.nodePath, formatNodeData(name, metas)))
}

/** Another operator writes the node; both ways it names the source. */
export function rewriteNode(scene: Scene): Promise<void> {
  return nameInNode(scene, {metas: [...scene.source.metas].reverse(), name: scene.source.name})
}

export const deniedEver = ({events}: Scene) => events.some(before('deny'))
export const switchedEver = ({events}: Scene) => events.some(before('switch-node'))
export const checksOf = ({error}: MigrationResult) => String(error?.facts.checks ?? '').split(',')
