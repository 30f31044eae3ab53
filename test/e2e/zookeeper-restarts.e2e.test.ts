import assert from 'node:assert/strict'

import type {MigrationEvent} from '../../src/lib/migration/index.js'
import {startZooKeeper, type ZooKeeper} from '../sandbox/zookeeper.js'
import {realBed} from './bed.js'
import {after, during} from './moments.js'
import {Scene} from './scene.js'

/* The real ZooKeeper ends and comes back: its sessions, the lock among them, may live on. Each story has one of its own. */

const stories: [string, (event: MigrationEvent) => boolean][] = [
  ['in Catch up', during('catch-up')],
  ['in the window, writes just denied', after('deny')],
  ['in the window, before the switch', during('drain')],
]

;(realBed() ? describe.skip : describe)('ZooKeeper stops and starts again', function () {
  this.timeout(180_000)
  const running = new Map<string, Promise<{error?: unknown}>>()

  async function play(when: (event: MigrationEvent) => boolean): Promise<{error?: unknown}> {
    let zookeeper: ZooKeeper | undefined
    let scene: Scene | undefined
    try {
      zookeeper = await startZooKeeper()
      scene = await Scene.open(zookeeper, {scale: 3})
      scene.at(when, () => zookeeper!.restart())
      let result = await scene.run()
      assert.ok(['migrated', 'stopped'].includes(result.outcome), `${result.outcome}: ${result.error?.message}`)
      if (result.outcome === 'stopped') {
        assert.match(result.error!.code, /^(?:zk|lock)\./)
        result = await scene.migrate(['migrated'])
      }

      await scene.close(result)
      return {}
    } catch (error) {
      return {error}
    } finally {
      await scene?.stop()
      await zookeeper?.stop()
    }
  }

  before(() => {
    for (const [title, when] of stories) running.set(title, play(when))
  })

  for (const [title, when] of stories) {
    it(title, async () => {
      const {error} = await (running.get(title) ?? play(when))
      // Whoever tries once more plays it anew, alone.
      running.delete(title)
      if (error !== undefined) throw error
    })
  }
})
