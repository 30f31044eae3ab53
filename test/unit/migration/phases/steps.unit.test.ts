import assert from 'node:assert/strict'

import type {Phase} from '../../../../src/lib/migration/context.js'
import {catchUp} from '../../../../src/lib/migration/phases/catch-up.js'
import {deny} from '../../../../src/lib/migration/phases/deny.js'
import {drain} from '../../../../src/lib/migration/phases/drain.js'
import {duplicate} from '../../../../src/lib/migration/phases/duplicate.js'
import {finish} from '../../../../src/lib/migration/phases/finish.js'
import {preflight} from '../../../../src/lib/migration/phases/preflight.js'
import {switchOver} from '../../../../src/lib/migration/phases/switch.js'
import {verify} from '../../../../src/lib/migration/phases/verify.js'
import {ScriptedMigration} from '../../../support/scripted-migration.js'

/* What each phase does, step by step, as it is told: `!` changes something, `…` waits. */

const steps = (phase: Phase) => phase.steps.map(({act, title, wait}) => `${act ? '! ' : ''}${wait ? '… ' : ''}${title}`)

const expected: [Phase, string, string[]][] = [
  [preflight, 'preflight', ['! look at both clusters and at metaproxy']],
  [duplicate, 'duplicate', ['! make the source ship in order', '! … create the duplication']],
  [
    catchUp,
    'catch-up',
    [
      "! shorten the source servers' config sync for the cutover",
      '… wait until the pending mutations are few',
      '… look whether the target is fit',
      '… wait until shipping is seen to move',
      '… wait until the cutover can be short',
    ],
  ],
  [verify, 'verify', ['… compare rows of both sides']],
  [
    deny,
    'deny',
    [
      "! look for the copy's table number on the source",
      '… stay caught up until told',
      '! run the hook before-deny',
      '… see that every server hears of envs within a second',
      '… see that the cutover fits',
      "… wait for the servers' syncs to lie close together",
      '! look once more at the duplication, the target and the node',
      '! … deny writes',
    ],
  ],
  [drain, 'drain', ['… wait until everything accepted is on the target', '! stop shipping', '! run the hook drained']],
  [
    switchOver,
    'switch',
    [
      '! run the hook before-switch',
      '! … hand the table over to the target',
      '! … send remaining clients of the source away',
    ],
  ],
  [
    finish,
    'finish',
    [
      '! … remove the duplication',
      '… see that the source stays closed',
      "! clean the target's envs",
      '! put every setting back',
      '… look who still asks the source',
      '… see that the source stays closed',
      '… see that nothing is left',
    ],
  ],
]

describe('the steps', () => {
  for (const [phase, id, wanted] of expected) {
    it(`of ${id}`, async () => {
      assert.equal(phase.id, id)
      assert.deepEqual(steps(phase), wanted)
      // Without a duplication nothing of any phase is there already.
      assert.deepEqual(await phase.observe(new ScriptedMigration().context), {done: false})
    })
  }
})
