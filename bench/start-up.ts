import {execFile} from 'node:child_process'
import {mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {promisify} from 'node:util'

import {makeShell, type Shell} from '../test/sandbox/demo-shell.js'

const ROUNDS = 9
const root = fileURLToPath(new URL('..', import.meta.url))
const run = promisify(execFile)

/** ms, median of some runs in turn. */
export interface StartUpFigures {
  dependencies: number
  dependenciesMb: number
  helpMs: number
  helpOfCommandMs: number
  helpOfEmptyCommandMs: number
  helpWithoutPluginMs: number
}

const EMPTY = `import {Command} from '@oclif/core'
export default class Empty extends Command {
  static description = 'does nothing'
  async run() {}
}
`

/** A plugin with one command that has nothing, linked as ours is. */
async function emptyPlugin(directory: string): Promise<string> {
  const at = join(directory, 'empty-plugin')
  await mkdir(join(at, 'commands'), {recursive: true})
  const oclif = {bin: 'pegasus', commands: './commands', topicSeparator: ':'}
  const manifest = {dependencies: {'@oclif/core': '*'}, name: 'empty-plugin', oclif, type: 'module', version: '1.0.0'}
  await symlink(join(root, 'node_modules'), join(at, 'node_modules'))
  await writeFile(join(at, 'package.json'), JSON.stringify(manifest))
  await writeFile(join(at, 'commands', 'empty.js'), EMPTY)
  return at
}

async function took({env, program}: Shell, args: string[]): Promise<number> {
  const startMs = performance.now()
  // Otherwise oclif looks for the sources of a linked plugin.
  await run(process.execPath, [program, ...args], {env: {...env, NODE_ENV: 'production'}})
  return performance.now() - startMs
}

/** Installed packages that are no development's, as the lock file has them, and their size on disk. */
async function productionTree(): Promise<{count: number; mb: number}> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, {dev?: boolean; devOptional?: boolean; optional?: boolean}>
  }
  const paths = Object.entries(lock.packages)
    .filter(([path, {dev, devOptional}]) => path !== '' && !dev && !devOptional)
    .map(([path]) => path)
  let bytes = 0
  let count = 0
  for (const path of paths) {
    const size = await sizeOf(join(root, path)).catch(() => undefined)
    if (size === undefined) continue
    bytes += size
    count++
  }

  return {count, mb: bytes / (1 << 20)}
}

/** Without the packages inside, which are counted themselves. */
async function sizeOf(directory: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(directory, {withFileTypes: true})) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) bytes += entry.name === 'node_modules' ? 0 : await sizeOf(path)
    else if (entry.isFile()) bytes += (await stat(path)).size
  }

  return bytes
}

/** How long the shell takes to say what it can, with the plugin as built and without it. */
export async function startUp(): Promise<StartUpFigures> {
  const directory = await mkdtemp(join(tmpdir(), 'table-migrator-bench-'))
  try {
    const ours = await makeShell(join(directory, 'ours'))
    const empty = await makeShell(join(directory, 'empty'))
    await run(process.execPath, [empty.program, 'plugins', 'unlink', '@org/table-migrator'], {env: empty.env})
    const without = {...empty}
    const times = {command: [] as number[], empty: [] as number[], help: [] as number[], without: [] as number[]}
    // In turn, so that whatever else the machine does slows all of them down.
    for (let round = 0; round < ROUNDS; round++) {
      times.without.push(await took(without, ['--help']))
      times.help.push(await took(ours, ['--help']))
    }

    const plugin = await emptyPlugin(directory)
    await run(process.execPath, [empty.program, 'plugins', 'link', plugin, '--no-install'], {env: empty.env})
    for (let round = 0; round < ROUNDS; round++) {
      times.empty.push(await took(empty, ['empty', '--help']))
      times.command.push(await took(ours, ['table:migrate', '--help']))
    }

    const median = (all: number[]) => [...all].sort((a, b) => a - b)[all.length >> 1]!
    const {count, mb} = await productionTree()
    return {
      dependencies: count,
      dependenciesMb: mb,
      helpMs: median(times.help),
      helpOfCommandMs: median(times.command),
      helpOfEmptyCommandMs: median(times.empty),
      helpWithoutPluginMs: median(times.without),
    }
  } finally {
    await rm(directory, {force: true, recursive: true})
  }
}
