import assert from 'node:assert/strict'
import {existsSync, readdirSync, readFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
const pages = ['README.md', 'CONTRIBUTING.md', 'test/sandbox/README.md', ...docs.map((name) => `docs/${name}`)]
const read = (path: string) => readFileSync(join(root, path), 'utf8')

interface Manifest {
  commands: Record<string, {flags: Record<string, {allowNo?: boolean}>}>
}

/** `table:migrate` → `--dry-run`, `--no-guard`, … */
function flagsOf(id: string): Set<string> {
  const {commands} = JSON.parse(read('oclif.manifest.json')) as Manifest
  const names = Object.entries(commands[id]!.flags).flatMap(([name, {allowNo}]) =>
    allowNo ? [name, `no-${name}`] : [name],
  )
  return new Set([...names, 'help'].map((name) => `--${name}`))
}

describe('the documentation', () => {
  it('links to files that are there', () => {
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
        .map(([, link]) => link!)
        .filter((link) => !existsSync(join(root, dirname(page), link)))
        .map((link) => `${page}: ${link}`),
    )
    assert.deepEqual(broken, [])
  })

  it('has every page in its index', () => {
    const index = read('docs/README.md')
    assert.deepEqual(
      docs.filter((name) => name !== 'README.md' && !index.includes(`](${name})`)),
      [],
    )
  })

  it('gives commands flags that they have', () => {
    const wrong = pages.flatMap((page) =>
      // A command line goes on over lines that end with a backslash.
      [
        ...read(page)
          .replaceAll('\\\n', ' ')
          .matchAll(/^.*?\b(table:migrate(?:-\w+)?)((?: [^\n`#]*)?)/gm),
      ].flatMap(([, id, rest]) => {
        const known = flagsOf(id!)
        const used = rest!.match(/(?<![\w-])--[a-z][a-z-]*/g) ?? []
        return used.filter((flag) => !known.has(flag)).map((flag) => `${page}: ${id} ${flag}`)
      }),
    )
    assert.deepEqual(wrong, [])
  })
})
