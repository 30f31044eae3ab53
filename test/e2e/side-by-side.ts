import {startZooKeeper, type ZooKeeper} from '../sandbox/zookeeper.js'
import {realBed} from './bed.js'
import {Scene, type SceneOptions} from './scene.js'

/** One test: a scene of its own, and what happens in it. */
export interface Story {
  options?: SceneOptions
  play(scene: Scene): Promise<void>
  title: string
}

/** How many stories run at the same time: they wait most of their time. `E2E_AT_ONCE` on slow machines. */
const AT_ONCE = Number(process.env.E2E_AT_ONCE ?? 4)

/**
 * A suite of stories, each a test with clusters of its own, several of them at the same time. They share one ZooKeeper.
 * Simulated clusters only: none of this should be done to real ones.
 */
export function sideBySide(title: string, stories: readonly Story[]): void {
  const suite = realBed() ? describe.skip : describe
  suite(title, function () {
    this.timeout(180_000)
    const running = new Map<Story, Promise<{error?: unknown}>>()
    let zookeeper: ZooKeeper

    before(async () => {
      zookeeper = await startZooKeeper()
    })

    after(async () => {
      await Promise.all(running.values())
      await zookeeper.stop()
    })

    for (const [index, story] of stories.entries()) {
      it(story.title, async () => {
        for (const next of stories.slice(index, index + AT_ONCE)) {
          if (!running.has(next)) running.set(next, play(zookeeper, next))
        }

        const {error} = await running.get(story)!
        if (error === undefined) return
        // Whoever tries once more plays it anew.
        running.delete(story)
        throw error
      })
    }
  })
}

/** Never rejects: its test may not be there yet to hear of it. */
async function play(zookeeper: ZooKeeper, story: Story): Promise<{error?: unknown}> {
  try {
    const scene = await Scene.open(zookeeper, {seed: seedOf(story.title), ...story.options})
    try {
      await story.play(scene)
    } finally {
      await scene.stop()
    }

    return {}
  } catch (error) {
    return {error}
  }
}

function seedOf(title: string): number {
  let seed = 0
  for (const character of title) seed = (seed * 31 + character.codePointAt(0)!) >>> 0
  return seed
}
