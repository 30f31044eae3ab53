import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import type {MigrationEvent, Outcome, PhaseId} from '../../src/lib/migration/index.js'
import {type Fault, FaultyNetwork} from '../support/fault-proxy.js'
import {before, beginOf, during} from './moments.js'
import type {Scene} from './scene.js'
import {sideBySide, type Story} from './side-by-side.js'

/*
 * The driver behind proxies, one before each server: a fault comes in a phase, stays a while, and goes. Whatever the run
 * comes to, the invariants hold then; and the same command brings it to its end.
 */

type Whom = 'everyone' | 'source metas' | 'source servers' | 'target'
type When = (event: MigrationEvent) => boolean

const addressesOf: Record<Whom, (scene: Scene) => string[]> = {
  everyone: (scene) => [
    ...addressesOf['source metas'](scene),
    ...addressesOf['source servers'](scene),
    ...addressesOf.target(scene),
  ],
  'source metas': ({source}) => source.metas,
  'source servers': ({source}) => source.servers.map(({address}) => address),
  target: ({target}) => [...target.metas, ...target.servers.map(({address}) => address)],
}

/** Ends in which nothing is denied or in which the target serves; all others would be a finding. */
const good: ReadonlySet<Outcome> = new Set(['migrated', 'stopped', 'switched-unfinished'])

const cut: Fault = {kind: 'cut'}
const silent: Fault = {kind: 'half-open'}
const corrupt: Fault = {kind: 'corrupt'}
const slow: Fault = {delayMs: 400, kind: 'delay'}
const thin: Fault = {bytesPerSecond: 20_000, kind: 'throttle'}

/** Phase, the moment in it, the fault, whom it hits, and for how many seconds. */
const troubles: [PhaseId, When, Fault, Whom, number][] = [
  ['duplicate', during('duplicate'), cut, 'source metas', 15],
  ['duplicate', beginOf('duplicate'), thin, 'everyone', 600],
  ['catch-up', beginOf('catch-up'), silent, 'source servers', 20],
  ['catch-up', during('catch-up'), slow, 'everyone', 600],
  ['deny', before('deny'), silent, 'source metas', 15],
  ['deny', before('deny'), cut, 'everyone', 8],
  ['deny', during('deny'), corrupt, 'source servers', 10],
  ['drain', beginOf('drain'), cut, 'source servers', 8],
  ['drain', during('drain'), silent, 'everyone', 12],
  ['drain', beginOf('drain'), slow, 'everyone', 600],
  ['finish', beginOf('finish'), corrupt, 'everyone', 10],
  ['finish', before('remove-duplication'), cut, 'source metas', 15],
]

const stories: Story[] = troubles.map(([phase, when, fault, whom, seconds]) => ({
  async play(scene) {
    const {clock} = scene.bed
    const network = new FaultyNetwork(clock)
    try {
      let healed: Promise<unknown> = Promise.resolve()
      scene.at(when, async () => {
        await network.set(addressesOf[whom](scene), fault)
        // Beside the run: it must not wait for the end of its trouble.
        healed = sleep(clock, seconds * 1000).then(() => network.heal())
      })
      let result = await scene.run({}, {transport: network.transport})
      assert.ok(good.has(result.outcome), `${result.outcome}: ${result.error?.message}`)
      // What lasts ten minutes would last longer than the story.
      await (seconds < 60 ? healed : network.heal())
      if (result.outcome !== 'migrated') result = await scene.migrate(['migrated'], {}, {transport: network.transport})
      await scene.close(result)
    } finally {
      await network.stop()
    }
  },
  title: `${phase}: ${fault.kind} of ${whom} for ${seconds} s`,
}))

sideBySide('the network between driver and servers', stories)
