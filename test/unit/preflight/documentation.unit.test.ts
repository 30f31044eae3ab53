import assert from 'node:assert/strict'
import {readFile} from 'node:fs/promises'

import {checks, runPreflight} from '../../../src/lib/migration/preflight/index.js'
import {healthyFacts} from './healthy-facts.js'

describe('preflight as a whole', () => {
  it('has the checks that docs/preflight.md lists, in that order', async () => {
    const text = await readFile(new URL('../../../docs/preflight.md', import.meta.url), 'utf8')
    const documented = [...text.matchAll(/^\| `([\d.a-z-]+)` \|/gm)].map(([, id]) => id)
    assert.deepEqual(
      documented,
      checks.map(({id}) => id),
    )
    assert.equal(new Set(documented).size, documented.length)
  })

  it('finds nothing to stop healthy facts, and tells every result in order', async () => {
    const told: string[] = []
    const results = await runPreflight(healthyFacts(), ({id}) => told.push(id))
    assert.deepEqual(
      told,
      results.map(({id}) => id),
    )
    assert.deepEqual(
      results.filter(({severity}) => severity !== 'ok').map(({id, severity}) => [id, severity]),
      [['direct-clients', 'warning']],
    )
  })

  it('lets no check pass whose facts could not be read', async () => {
    const names = checks.flatMap(({needs}) => needs ?? [])
    for (const name of new Set(names)) {
      const facts = healthyFacts()
      facts.unread.set(name, new Error('the meta hung up'))
      const results = await runPreflight(facts)
      for (const check of checks.filter(({needs}) => needs?.includes(name))) {
        const {evidence, severity} = results.find(({id}) => id === check.id)!
        assert.notEqual(severity, 'ok', `${check.id} without ${name}`)
        assert.match(evidence, /the meta hung up/)
      }
    }
  })
})
