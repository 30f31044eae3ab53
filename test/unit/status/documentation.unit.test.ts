import assert from 'node:assert/strict'
import {readFile} from 'node:fs/promises'

import {exitCodeOfLevel, stateIds, states} from '../../../src/lib/migration/status/index.js'

describe('states of a table as they are documented', () => {
  it('are the table of docs/status.md', async () => {
    const text = await readFile(new URL('../../../docs/status.md', import.meta.url), 'utf8')
    const rows = [...text.matchAll(/^\| `([a-z-]+)` \| (\d) \|/gm)]
    assert.deepEqual(
      rows.map(([, id, code]) => [id, Number(code)]),
      stateIds.map((id) => [id, exitCodeOfLevel(states[id].level)]),
    )
  })

  it('are told there in the same words', async () => {
    const text = await readFile(new URL('../../../docs/status.md', import.meta.url), 'utf8')
    for (const id of stateIds) {
      const {level, meaning, mend, title} = states[id]
      const row = `| \`${id}\` | ${exitCodeOfLevel(level)} | ${title} | ${meaning} | ${mend || '\u2014'} |`
      assert.ok(text.includes(row), row)
    }
  })
})
