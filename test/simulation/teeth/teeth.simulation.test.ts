import assert from 'node:assert/strict'
import {readFile} from 'node:fs/promises'

import {eachOf, whyItDoesNotBite} from './find.js'
import {knownRuns} from './known.js'
import {planted} from './planted.js'

/** Processes at a time. */
const JOBS = 2
/** So many bugs at least the simulation must be able to find, each within so many seeds. */
const BUGS = 25
const SEEDS = 2000

describe('the teeth of the simulation', function () {
  this.timeout(600_000)

  it('has bugs that fit the sources as they are', async () => {
    assert.equal(new Set(planted.map(({id}) => id)).size, planted.length)
    for (const {edits, id} of planted) {
      for (const {file, find, replace} of edits) {
        const text = await readFile(new URL(`../../../${file}`, import.meta.url), 'utf8')
        assert.equal(text.split(find).length, 2, `${id}: not once in ${file}: ${find}`)
        assert.notEqual(find, replace)
      }
    }
  })

  it('finds each of them by the run that found it first, which goes well without it', async () => {
    const known = await knownRuns()
    const bugs = planted.filter(({id}) => known.has(id))
    assert.equal(known.size, bugs.length)
    assert.ok(bugs.length >= BUGS)
    const blunt: string[] = []
    await eachOf(bugs, JOBS, async (bug) => {
      const {plan, seed} = known.get(bug.id)!
      assert.ok(seed >= 1 && seed <= SEEDS)
      const why = await whyItDoesNotBite(bug, plan)
      if (why !== undefined) blunt.push(`${bug.id}: ${why}; npm run simulate:teeth -- ${bug.id} looks for another run`)
    })
    assert.deepEqual(blunt, [])
  })
})
