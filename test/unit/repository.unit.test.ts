import assert from 'node:assert/strict'
import {execFileSync} from 'node:child_process'
import {readFileSync} from 'node:fs'
import {fileURLToPath} from 'node:url'
import {ExitCode} from '../../src/lib/exit-codes.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const tracked = execFileSync('git', ['ls-files', '-z'], {cwd: root, encoding: 'utf8'}).split('\0').filter(Boolean)

describe('the repository', () => {
  it('has a README whose exit codes are those of the program', () => {
    const table = [...read('README.md').matchAll(/^\| (\d+) \| (.+) \|$/gm)]
    const documented = table.map(([, code]) => Number(code))
    assert.deepEqual(
      documented.sort((a, b) => a - b),
      Object.values(ExitCode).sort((a, b) => a - b),
    )
    const source = read('src/lib/exit-codes.ts')
    // The sentence above each code says the same in both places.
    for (const [, code, meaning] of table.filter(([, code]) => Number(code) < 100))
      assert.ok(source.includes(`/** ${meaning} */`), `exit code ${code}: ${meaning}`)
  })

  it('names no registry and no path of a machine', () => {
    const lock = read('package-lock.json')
    assert.doesNotMatch(lock, /"resolved":|https?:\/\/registry\./)
    const suspicious = /(?<![\w.~/-])\/(?:home|Users|work)\/\w|registry\.(?:npmjs|yarnpkg)/
    const guilty = tracked
      .filter(
        (path) => /\.(?:[cm]?[jt]s|json|md|yml|sh)$|^\.ci\//.test(path) && !path.endsWith('repository.unit.test.ts'),
      )
      .filter((path) => suspicious.test(read(path)) || read(path).includes(root))
    assert.deepEqual(guilty, [])
  })

  it('can be taken in at one look', () => {
    const entries = new Set(tracked.map((path) => path.split('/')[0]))
    assert.ok(entries.size <= 20, `${entries.size} entries at the root`)
  })
})
