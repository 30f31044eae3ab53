import assert from 'node:assert/strict'
import {readFileSync} from 'node:fs'

interface Manifest {
  commands: Record<
    string,
    {flags: Record<string, {default?: unknown; hasDynamicHelp?: boolean}>; hasDynamicHelp: boolean}
  >
}

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')

describe('what it costs the shell to know this plugin', () => {
  it('needs no code of a command to show its help', () => {
    const {commands} = JSON.parse(read('oclif.manifest.json')) as Manifest
    assert.ok(Object.keys(commands).length >= 4)
    for (const [id, {flags, hasDynamicHelp}] of Object.entries(commands)) {
      assert.equal(hasDynamicHelp, false, id)
      assert.deepEqual(
        Object.keys(flags).filter((name) => flags[name]!.hasDynamicHelp),
        [],
        id,
      )
    }

    // Shown as people write it, although nothing is loaded that could tell.
    assert.equal(commands['table:migrate']!.flags['max-write-deny']!.default, '120s')
    assert.equal(commands['table:migrate']!.flags.threshold!.default, '10K')
  })

  it('loads two small files before a command of somebody else', () => {
    const imports = (path: string) =>
      [...read(path).matchAll(/^import (?!type).* from '(.+)'$/gm)].map(([, from]) => from!)
    const hook = imports('src/hooks/init.ts')
    assert.deepEqual(
      hook.filter((from) => !from.startsWith('node:')),
      ['../lib/migration/journal-tail.js'],
    )
    const tail = imports('src/lib/migration/journal-tail.ts')
    assert.deepEqual(
      tail.filter((from) => !from.startsWith('node:')),
      [],
    )
  })
})
