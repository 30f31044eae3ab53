import assert from 'node:assert/strict'
import type {EnvDifference} from '../../../src/lib/migration/env-diff.js'
import type {MigrationResult} from '../../../src/lib/migration/result.js'
import {envLines, envSentences} from '../../../src/lib/ui/env-diff.js'

const differences: EnvDifference[] = [
  {key: 'default_ttl', source: '86400', target: '60'},
  {key: 'x\u001B[31m', target: '1'},
]
const resultOf = (more: Partial<MigrationResult>) =>
  ({table: 'users', target: {cluster: 'onebox2', metas: []}, ...more}) as unknown as MigrationResult
const planOf = (envDifferences?: EnvDifference[]) => resultOf({plan: {envDifferences} as MigrationResult['plan']})

describe('the diff of settings', () => {
  it('is said in the plan, where there is a target already', () => {
    assert.deepEqual(envSentences(planOf()), [])
    assert.match(envSentences(planOf([]))[0]!, /are the same on both sides/)
    assert.match(
      envSentences(planOf(differences))[0]!,
      /differ, .*default_ttl: 86400 on the source, 60 on the target; x/,
    )
  })

  it('is said at the end with the commands that mend it, escaped', () => {
    const text = envLines(resultOf({envDifferences: differences}), 100).join('\n')
    assert.match(text, /2 settings of users were not the same on both sides at the cutover/)
    assert.match(text, / {2}- default_ttl: 86400 on the source, 60 on the target\n {6}set_app_envs default_ttl 86400\n/)
    assert.match(text, /del_app_envs x\\u001b\[31m/)
    assert.ok(!text.includes('\u001B'))
  })

  it('is silent when nothing differs, or nobody looked', () => {
    assert.deepEqual(envLines(resultOf({envDifferences: []}), 80), [])
    assert.deepEqual(envLines(resultOf({}), 80), [])
  })
})
