import {formatNodeData} from '../../metaproxy/node-data.js'
import type {Effect} from '../effects.js'
import type {RollbackContext} from './context.js'
import {foretellRemoval} from './duplication.js'
import {isNeededToShip} from './leftovers.js'
import type {StepId} from './events.js'

const DROP_SECONDS = 7 * 86_400
const DENIED = 'reconfig*write'
const CLOSED = 'reconfig*all'

/** What each step of the plan would change, in order; looks at the table, and changes nothing. */
export async function foretell(context: RollbackContext): Promise<Effect[]> {
  const effects: Effect[] = []
  let kept = false
  for (const step of context.plan.steps) {
    if (step === 'remove-duplication') {
      const way = await foretellRemoval(context)
      kept = way === 'keep'
      effects.push(...removal(context, way))
    } else if (!(kept && (step === 'clean-target' || step === 'drop-target'))) {
      effects.push(...effectsOf(context, step).filter((effect) => !(kept && isNeededToShip(effect))))
    }
  }

  return effects
}

function removal({view}: RollbackContext, way: 'brief-deny' | 'keep' | 'remove'): Effect[] {
  const {dupid} = view.entry!
  const remove: Effect = {dupid, kind: 'remove-duplication'}
  if (way === 'keep') return []
  if (way === 'remove') return [remove]
  return [{before: null, kind: 'deny', value: DENIED}, remove, {before: null, kind: 'lift-deny'}]
}

function effectsOf({hints, view}: RollbackContext, step: StepId): Effect[] {
  const {deny = null, node, source, target} = view
  switch (step) {
    case 'allow-writes': {
      const lift: Effect = {before: null, kind: 'lift-deny'}
      if (node.side !== 'source') return [lift]
      const {bytes, path, version} = node.record
      return [{beforeVersion: version, bytes: bytes.toString('utf8'), kind: 'take-commit-away', path}, lift]
    }

    case 'clean-target': {
      const before = target!.table?.followerEnvs
      // Whether a copy comes yet nobody knows.
      if (!before) return []
      return [{before, keys: Object.keys(before).sort(), kind: 'delete-target-envs'}]
    }

    case 'close-target': {
      return [{before: DENIED, kind: 'close-target', value: CLOSED}]
    }

    case 'deny-target': {
      return [{before: target!.table!.deny ?? null, kind: 'deny-target', value: DENIED}]
    }

    case 'drop-target': {
      return [{appId: target!.table!.appId, kind: 'drop-target-table', reserveSeconds: DROP_SECONDS}]
    }

    case 'open-source': {
      return [{before: null, kind: 'lift-deny'}]
    }

    case 'open-source-reads': {
      return deny === DENIED ? [] : [{before: deny, kind: 'open-source-reads', value: DENIED}]
    }

    case 'put-settings-back': {
      return hints.settings.flatMap((effect): Effect[] => {
        if (effect.kind === 'set-server-config') return [{...effect, before: effect.value, value: effect.before}]
        return effect.kind === 'set-meta-level' ? [{...effect, before: effect.level, level: effect.before}] : []
      })
    }

    case 'switch-back': {
      if (node.side !== 'target') return []
      const {bytes, path, version} = node.record
      const back = view.journal?.nodeBefore ?? formatNodeData(source.cluster, source.metas).toString('utf8')
      return [{before: bytes.toString('utf8'), beforeVersion: version, bytes: back, kind: 'switch-node-back', path}]
    }

    default: {
      return []
    }
  }
}
