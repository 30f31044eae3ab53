import {between, drawFault, oneOf, type Random} from './draw.js'
import type {At, Fault, WorldPlan} from './plan.js'

/** Faults that are aimed at each other, and the table that they need. */
interface Themed {
  faults: Fault[]
  world?: Partial<WorldPlan>
}

type Theme = (random: Random, world: WorldPlan) => Themed

const chance = (random: Random, share: number) => random() < share

/** So long after one of these signs at most; half of the time right there. */
function near(random: Random, signs: readonly string[], mostMs = 0): At {
  const afterMs = mostMs === 0 || chance(random, 0.5) ? 0 : between(random, 0, mostMs)
  return {afterMs, nth: 1, sign: oneOf(random, signs)}
}

function aim(random: Random, kind: string, at: At, more: Partial<Fault> = {}): Fault {
  return {at, kind, pick: between(random, 0, 1000), ...more}
}

const DENYING = ['effect:deny', 'done:deny']
const DRAINING = ['phase:drain', 'effect:pause-duplication', 'done:pause-duplication']
const SWITCHING = ['effect:switch-node', 'done:switch-node', 'effect:close-source', 'done:close-source']
const CUTOVER = [...DENYING, ...DRAINING, ...SWITCHING]
const PREPARING = ['phase:duplicate', 'phase:catch-up', 'phase:verify', 'phase:deny']

/** Another command, a while after the first came to harm. */
function second(random: Random, at: At, {root}: WorldPlan): Fault {
  const command = oneOf(random, ['migrate', 'migrate', 'rollback'])
  return aim(random, 'second', at, {what: `${command} ${root ? oneOf(random, ['here', 'there']) : 'here'}`})
}

function lostEnvCall(random: Random, at: At): Fault {
  const how = oneOf(random, ['lose-answer', 'lose-answer', 'ignore', 'close-after', 'delay'])
  const more = {count: oneOf(random, [1, 2, 10]), ms: 15_000, side: 'source' as const}
  return aim(random, 'call', at, {...more, what: `${how} RPC_CM_UPDATE_APP_ENV`})
}

/** Each comes as often as the others. */
const THEMES: Record<string, Theme> = {
  'a driver that is stopped, and a guard'(random, world) {
    const sign = world.root
      ? oneOf(random, [...DENYING, ...DRAINING, 'effect:switch-node', 'effect:switch-node', 'done:switch-node'])
      : oneOf(random, [...DENYING, ...DRAINING])
    const at = {afterMs: oneOf(random, [0, 0, 2, 20]), nth: 1, sign}
    const faults = [aim(random, 'stop', at, {lastsMs: oneOf(random, [6000, 7000, 9000, 20_000])})]
    if (chance(random, 0.3)) faults.push(lostEnvCall(random, near(random, ['effect:lift-deny'])))
    if (chance(random, 0.2)) faults.push(second(random, near(random, [sign], 8000), world))
    return {faults, world: {guard: true}}
  },

  'a driver that is stopped at the word'(random) {
    const at = {afterMs: oneOf(random, [0, 0, 2, 20]), nth: 1, sign: oneOf(random, ['phase:switch', 'claim', 'claim'])}
    const faults = [aim(random, 'stop', at, {lastsMs: oneOf(random, [6000, 7000, 20_000])})]
    if (chance(random, 0.3)) faults.push(lostEnvCall(random, near(random, ['effect:lift-deny'])))
    return {faults, world: {askMoved: 'moved', guard: true, root: false}}
  },

  'a driver that is killed, and who comes after it'(random, world) {
    // Between what is written down and what is done the two differ.
    const between = ['effect:switch-node', 'effect:switch-node', 'effect:switch-node', 'effect:lift-deny', 'undo']
    const sign = oneOf(random, [...PREPARING, ...CUTOVER, ...CUTOVER, ...between])
    const faults = [aim(random, 'kill', {afterMs: oneOf(random, [0, 0, 0, 500]), nth: 1, sign})]
    const guard = chance(random, 0.4)
    if (guard && chance(random, 0.5)) faults.push(aim(random, 'kill-guard', near(random, [sign], 7000)))
    if (chance(random, 0.4)) faults.push(second(random, near(random, [sign], 20_000), world))
    return {faults, world: {guard}}
  },

  'envs that are set without an answer'(random) {
    const sign = oneOf(random, ['effect:deny', 'effect:deny', 'effect:deny', 'effect:lift-deny', 'effect:close-source'])
    const faults = [lostEnvCall(random, near(random, [sign]))]
    const hurts = oneOf(random, ['ctrl-c', 'ctrl-c', 'kill', 'metas-away', 'meta-dies', undefined])
    const at = {afterMs: between(random, 20, 9000), nth: 1, sign}
    const side = 'source'
    if (hurts) faults.push(aim(random, hurts, at, hurts.startsWith('meta') ? {lastsMs: 60_000, side} : {side}))
    // One that is refused first: an undo without a deny that was answered.
    if (sign === 'effect:lift-deny') faults.push(aim(random, 'ctrl-c', near(random, DRAINING, 2000)))
    return {faults}
  },

  'a target that takes nothing for a while'(random) {
    const lastsMs = oneOf(random, [8000, 15_000, 50_000, 150_000])
    const at = near(random, ['phase:deny', ...DENYING, 'phase:drain'], 1000)
    const faults = [aim(random, 'nothing-ships', at, {lastsMs})]
    const meanwhile = oneOf(random, [
      'deny-taken-off',
      'deny-taken-off',
      'primary-moves',
      'kill',
      'server-restarts',
      '',
    ])
    const then = {afterMs: between(random, 0, Math.min(lastsMs, 10_000)), nth: 1, sign: 'phase:drain'}
    if (meanwhile !== '') faults.push(aim(random, meanwhile, then, {lastsMs: 3000, side: 'source'}))
    return {faults}
  },

  // Much of what was accepted is still to be shipped when the last server hears of the deny.
  'a backlog in the drain'(random, {verify}) {
    const side = 'source'
    const deaf = aim(random, 'no-ticks', near(random, ['effect:deny']), {lastsMs: oneOf(random, [6000, 12_000]), side})
    const stuck = aim(random, 'nothing-ships', near(random, ['effect:deny']), {lastsMs: oneOf(random, [8000, 15_000])})
    const world = {keys: 4, partitions: 1, valueBytes: 1500, writesPerSecond: 4}
    return {faults: [deaf, stuck], world: {...world, verify: chance(random, 0.6) ? 'none' : verify}}
  },

  'a server that does not hear of the deny'(random) {
    const at = near(random, ['phase:deny', 'effect:deny', 'effect:deny', 'phase:drain'], 500)
    const more = {lastsMs: oneOf(random, [5000, 15_000, 60_000]), side: 'source' as const}
    const faults = [aim(random, oneOf(random, ['no-ticks', 'no-ticks', 'disconnected']), at, more)]
    if (chance(random, 0.5)) {
      const move = near(random, [...DRAINING, ...DENYING], 3000)
      faults.push(aim(random, 'primary-moves', move, {side: 'source'}))
    }

    return {faults, world: {writesPerSecond: 4}}
  },

  'a primary that moves to a server that has not heard of the deny'(random) {
    const side = 'source'
    const lastsMs = oneOf(random, [15_000, 60_000])
    const deaf = aim(random, 'no-ticks', near(random, ['phase:deny', 'effect:deny'], 300), {
      lastsMs,
      side,
      what: 'heir',
    })
    const sign = oneOf(random, ['done:deny', 'phase:drain', 'effect:pause-duplication', 'effect:pause-duplication'])
    const faults = [deaf, aim(random, 'primary-moves', near(random, [sign], 4000), {side})]
    if (chance(random, 0.3)) faults.push(aim(random, 'proxy-stale', near(random, ['phase:drain'])))
    return {faults, world: {partitions: 1, writesPerSecond: 4}}
  },

  'primaries that move during the cutover'(random) {
    const moves = Array.from({length: oneOf(random, [1, 2, 3])}, () => {
      const side = oneOf(random, ['source', 'source', 'source', 'target'] as const)
      return aim(random, 'primary-moves', near(random, [...DRAINING, ...SWITCHING], 3000), {side})
    })
    return {faults: moves, world: {keys: 4, writesPerSecond: 4}}
  },

  'another operator'(random) {
    const kinds = [
      'batching-by-another',
      'deny-by-another',
      'deny-taken-off',
      'fail-skip',
      'node-rewritten',
      'pause-by-another',
      'remove-by-another',
      'resume-by-another',
      'target-denied',
      'target-denied',
    ]
    const early = near(random, ['phase:catch-up', 'phase:verify', 'phase:deny'], 5000)
    const late = near(random, [...DRAINING, ...SWITCHING, 'phase:finish'], 4000)
    const count = oneOf(random, [1, 1, 2])
    return {faults: Array.from({length: count}, () => aim(random, oneOf(random, kinds), oneOf(random, [early, late])))}
  },

  'ZooKeeper at the switch'(random) {
    const at = near(random, ['phase:switch', 'effect:switch-node', 'effect:switch-node', 'effect:take-commit-away'])
    const kind = oneOf(random, [
      'zookeeper-cut',
      'zookeeper-cut',
      'zookeeper-away',
      'zookeeper-expires',
      'node-rewritten',
    ])
    const what = oneOf(random, ['cut-before commit', 'cut-after commit', 'cut-after commit', 'cut-after getData'])
    const lastsMs = oneOf(random, [2000, 15_000, 40_000])
    const more = kind === 'zookeeper-cut' ? {count: oneOf(random, [1, 3]), what} : {lastsMs}
    const faults = [aim(random, kind, at, more)]
    const hurts = oneOf(random, ['ctrl-c', 'kill', 'stop', ''])
    if (hurts !== '')
      faults.push(aim(random, hurts, near(random, ['effect:switch-node', 'done:switch-node'], 3000), {lastsMs: 8000}))
    return {faults, world: {root: true}}
  },

  'a way back under load'(random, world) {
    const sign = oneOf(random, ['phase:catch-up', 'phase:verify', 'phase:deny', 'phase:drain'])
    const hurts = oneOf(random, ['kill', 'kill', 'ctrl-c', 'stop'])
    const faults = [aim(random, hurts, near(random, [sign], 4000), {lastsMs: 20_000})]
    const what = `rollback ${world.root ? oneOf(random, ['here', 'there']) : 'here'}`
    faults.push(aim(random, 'second', {afterMs: between(random, 100, 8000), nth: 1, sign}, {what}))
    return {faults, world: {profile: oneOf(random, ['2.5', '2.5', 'master']), writesPerSecond: 4}}
  },

  'two commands'(random, world) {
    const sign = oneOf(random, [...PREPARING, ...CUTOVER])
    const faults = [second(random, near(random, [sign], 5000), world)]
    const hurts = oneOf(random, ['stop', 'stop', 'kill', 'zookeeper-expires', 'zookeeper-away', ''])
    const lastsMs = oneOf(random, [7000, 20_000, 40_000])
    if (hurts !== '') faults.push(aim(random, hurts, near(random, [sign], 3000), {lastsMs}))
    return {faults}
  },
}

const NAMES = Object.keys(THEMES)

/** Draws a theme, and now and then one more fault of any kind. */
export function drawThemed(random: Random, drawn: WorldPlan, name = oneOf(random, NAMES)): Themed & {world: WorldPlan} {
  const {faults, world: change} = THEMES[name]!(random, drawn)
  const world = {...drawn, ...change}
  if (chance(random, 0.3)) faults.push(drawFault(random, world))
  return {faults, world}
}
