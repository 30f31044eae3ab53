import assert from 'node:assert/strict'
import {readFile} from 'node:fs/promises'

import {lookFor} from './find.js'
import {planted} from './planted.js'

/** `npm run simulate:teeth` plays all of them, from the first seed on; here some, by the seeds that found them. */
const SAMPLE = [
  'no-fence',
  'switch-without-lock',
  'lift-not-proved',
  'interval-back-too-early',
  'batching-back-too-early',
  'source-left-open',
  'journal-after-only',
]

describe('the teeth of the simulation', function () {
  this.timeout(120_000)

  it('has bugs that fit the sources as they are', async () => {
    assert.ok(planted.length >= 25)
    assert.equal(new Set(planted.map(({id}) => id)).size, planted.length)
    for (const {edits, id} of planted) {
      for (const {file, find, replace} of edits) {
        const text = await readFile(new URL(`../../../${file}`, import.meta.url), 'utf8')
        assert.equal(text.split(find).length, 2, `${id}: not once in ${file}: ${find}`)
        assert.notEqual(find, replace)
      }
    }
  })

  it('finds a sample of them where they were found before, and nothing there without them', async () => {
    const known = JSON.parse(await readFile(new URL('known-seeds.json', import.meta.url), 'utf8')) as Record<
      string,
      number
    >
    for (const id of SAMPLE) {
      const found = await lookFor(
        planted.find((bug) => bug.id === id)!,
        known[id]!,
        1,
        1,
      )
      assert.ok(found, `${id} is not found any more; see npm run simulate:teeth -- ${id}`)
    }
  })
})
