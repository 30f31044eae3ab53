import assert from 'node:assert/strict'
import {readdirSync, readFileSync, writeFileSync} from 'node:fs'
import type {Command} from '@oclif/core'
import {ExitCode} from '../../../src/lib/exit-codes.js'

const COMMANDS = new URL('../../../src/commands/table/', import.meta.url)
const SNAPSHOT = new URL('command-snapshot.json', import.meta.url)

interface Loaded {
  command: typeof Command
  id: string
}

/** What scripts of operators rely on. */
interface Surface {
  command: string
  flags: {char?: string; env?: string; multiple?: true; name: string; options?: readonly string[]; type: string}[]
  json: boolean
}

async function load(): Promise<Loaded[]> {
  const files = readdirSync(COMMANDS).sort()
  return Promise.all(
    files.map(async (file) => {
      const {default: command} = (await import(new URL(file, COMMANDS).href)) as {default: typeof Command}
      return {command, id: `table:${file.replace(/\.ts$/, '')}`}
    }),
  )
}

function surfaceOf({command, id}: Loaded): Surface {
  const flags = Object.entries(command.flags).map(([name, flag]) => ({
    ...(flag.char === undefined ? {} : {char: flag.char}),
    ...(flag.env === undefined ? {} : {env: flag.env}),
    ...('multiple' in flag && flag.multiple ? {multiple: true as const} : {}),
    name,
    ...('options' in flag && flag.options ? {options: flag.options} : {}),
    type: flag.type,
  }))
  return {command: id, flags: flags.sort((a, b) => a.name.localeCompare(b.name)), json: command.enableJsonFlag}
}

describe('the commands', () => {
  let loaded: Loaded[]

  before(async () => {
    loaded = await load()
  })

  it('have the flags that the snapshot says', () => {
    const now = loaded.map((command) => surfaceOf(command))
    if (process.env.UPDATE_SNAPSHOT) writeFileSync(SNAPSHOT, `${JSON.stringify(now, undefined, 2)}\n`)
    const then = JSON.parse(readFileSync(SNAPSHOT, 'utf8')) as Surface[]
    // What is gone or changed breaks somebody's script; what is new is written down by UPDATE_SNAPSHOT=1.
    assert.deepEqual(now, then, 'if it is meant: UPDATE_SNAPSHOT=1 npx mocha test/unit/commands/snapshot.unit.test.ts')
  })

  it('tell every exit code that they use in their help, and no other', () => {
    const known = new Set<number>(Object.values(ExitCode))
    for (const {command, id} of loaded) {
      const section = /\nEXIT CODES\n([\s\S]+?)(?:\n\n|$)/.exec(command.description ?? '')?.[1]
      assert.ok(section, `${id} has no exit codes in its help`)
      const codes = section
        .split('\n')
        .flatMap((line) => /^ {3}([\d, ]+) {2}\S/.exec(line)?.[1]?.split(', ').map(Number) ?? [])
      assert.deepEqual([codes[0], codes.includes(2)], [0, true], `${id}: ${codes.join(' ')}`)
      for (const code of codes) assert.ok(known.has(code), `${id}: exit code ${code} is not known`)
      assert.deepEqual(
        [...codes].sort((a, b) => a - b),
        codes,
        id,
      )
    }
  })

  it('have a summary, examples that name them, and flags in groups with a line of help', () => {
    for (const {command, id} of loaded) {
      assert.match(command.summary ?? '', /^[A-Z].*\.$/, id)
      assert.ok((command.examples ?? []).length > 0, id)
      for (const example of command.examples ?? []) {
        assert.ok(typeof example === 'object' && example.command.startsWith('<%= config.bin %> <%= command.id %>'), id)
      }

      for (const [name, flag] of Object.entries(command.flags)) {
        assert.match(flag.description ?? '', /^[A-Z].*\.$/, `${id} --${name}`)
        assert.ok(flag.helpGroup, `${id} --${name}`)
      }
    }
  })

  it('name no variable of the environment for two things', () => {
    const meaning = new Map<string, string>()
    for (const {command, id} of loaded) {
      for (const [name, {env}] of Object.entries(command.flags)) {
        if (env === undefined) continue
        assert.equal(meaning.get(env) ?? name, name, `${env} of ${id}`)
        meaning.set(env, name)
      }
    }
  })
})
