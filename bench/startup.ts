import {spawnSync} from 'node:child_process'
import {cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath, pathToFileURL} from 'node:url'
import {systemClock} from '../src/lib/clock.js'

/* What the plugin costs a shell that has it, in time. `node --import tsx bench/startup.ts [rounds]`, after a build. */

const root = fileURLToPath(new URL('..', import.meta.url))
const NAME = '@org/table-migrator'
const JOURNALS = 20

/** Medians in milliseconds; what is compared was run in turn, and is compared round by round. */
export interface StartupCosts {
  /** A command that does nothing, of a plugin that has no other. */
  emptyCommandMs: number
  /** `pegasus --help`: how much longer it takes with the plugin. */
  helpAddedMs: number
  helpMs: number
  /** The init hook, loaded and run in a process that has loaded oclif as a shell has, with 20 finished journals. */
  hookMs: number
  migrateHelpMs: number
  /** `pegasus table:migrate --help`: how many times as long as the empty command. */
  migrateHelpRatio: number
  rounds: number
}

/** What is installed with the plugin. */
export interface Dependencies {
  mb: number
  packages: number
}

/** Runs the built plugin in shells that are made for it and removed again. @throws Error when a command fails */
export async function measureStartup({rounds = 25}: {rounds?: number} = {}): Promise<StartupCosts> {
  const directory = await mkdtemp(join(tmpdir(), 'table-migrator-startup-'))
  try {
    const bare = await makeShell(join(directory, 'bare'))
    const empty = await makeShell(join(directory, 'empty'))
    const full = await makeShell(join(directory, 'full'))
    await addEmptyPlugin(empty)
    await addThisPlugin(full)
    const hook = await makeHookProbe(full)
    const times: Record<'empty' | 'help' | 'hook' | 'migrateHelp' | 'withPlugin', number[]> = {
      empty: [],
      help: [],
      hook: [],
      migrateHelp: [],
      withPlugin: [],
    }
    // The first round fills the caches of the disk.
    for (let round = -1; round < rounds; round++) {
      const taken = {
        help: timeOf(bare, '--help'),
        withPlugin: timeOf(full, '--help'),
        empty: timeOf(empty, 'empty'),
        migrateHelp: timeOf(full, 'table:migrate', '--help'),
        hook: Number(runNode(full, hook)),
      }
      if (round < 0) continue
      for (const [name, ms] of Object.entries(taken)) times[name as keyof typeof times].push(ms)
    }

    return {
      emptyCommandMs: median(times.empty),
      helpAddedMs: median(times.withPlugin.map((ms, round) => ms - times.help[round]!)),
      helpMs: median(times.help),
      hookMs: median(times.hook),
      migrateHelpMs: median(times.migrateHelp),
      migrateHelpRatio: median(times.migrateHelp.map((ms, round) => ms / times.empty[round]!)),
      rounds,
    }
  } finally {
    await rm(directory, {force: true, recursive: true})
  }
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** @returns what it printed */
function runNode(shell: string, ...args: string[]): string {
  const directories = ['cache', 'config', 'data'].map((kind) => [
    `PEGASUS_${kind.toUpperCase()}_DIR`,
    join(shell, kind),
  ])
  const {status, stderr, stdout} = spawnSync(process.execPath, args, {
    cwd: shell,
    encoding: 'utf8',
    env: {HOME: shell, PATH: process.env.PATH, ...Object.fromEntries(directories)},
  })
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}: ${stderr}`)
  return stdout
}

function timeOf(shell: string, ...args: string[]): number {
  const startMs = systemClock.nowMs()
  runNode(shell, join(shell, 'bin', 'run.js'), ...args)
  return systemClock.nowMs() - startMs
}

/** The shell of test/host, with nothing installed. */
async function makeShell(directory: string): Promise<string> {
  await cp(join(root, 'test', 'host'), directory, {recursive: true})
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
  for (const kind of ['cache', 'config', 'data']) await mkdir(join(directory, kind))
  await installed(directory, [])
  return directory
}

/** What `plugins install` writes down. */
async function installed(shell: string, names: string[]): Promise<void> {
  const plugins = names.map((name) => ({name, tag: 'latest', type: 'user'}))
  await writeFile(join(shell, 'data', 'package.json'), JSON.stringify({oclif: {plugins, schema: 1}, private: true}))
}

async function addThisPlugin(shell: string): Promise<void> {
  const modules = join(shell, 'data', 'node_modules')
  const directory = join(modules, NAME)
  await mkdir(directory, {recursive: true})
  for (const entry of ['dist', 'oclif.manifest.json', 'package.json'])
    await cp(join(root, entry), join(directory, entry), {recursive: true})
  const {dependencies} = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  for (const name of Object.keys(dependencies)) {
    await mkdir(join(modules, name, '..'), {recursive: true})
    await symlink(join(root, 'node_modules', name), join(modules, name))
  }

  await installed(shell, [NAME])
}

async function addEmptyPlugin(shell: string): Promise<void> {
  const modules = join(shell, 'data', 'node_modules')
  const directory = join(modules, 'empty')
  await mkdir(join(directory, 'commands'), {recursive: true})
  await symlink(join(root, 'node_modules', '@oclif'), join(modules, '@oclif'))
  const command = {
    aliases: [],
    args: {},
    flags: {},
    hasDynamicHelp: false,
    hiddenAliases: [],
    id: 'empty',
    strict: true,
  }
  const place = {isESM: true, pluginName: 'empty', pluginType: 'user', relativePath: ['commands', 'empty.js']}
  const files = {
    'commands/empty.js': `import {Command} from '@oclif/core'\nexport default class extends Command {\n  async run() {}\n}\n`,
    'oclif.manifest.json': JSON.stringify({commands: {empty: {...command, ...place}}, version: '1.0.0'}),
    'package.json': JSON.stringify({name: 'empty', oclif: {commands: './commands'}, type: 'module', version: '1.0.0'}),
  }
  for (const [file, text] of Object.entries(files)) await writeFile(join(directory, file), text)
  await installed(shell, ['empty'])
}

/** A program that loads the hook, runs it once and prints how many milliseconds that took. */
async function makeHookProbe(shell: string): Promise<string> {
  const journals = join(shell, 'data', 'table-migrator')
  await mkdir(journals)
  const line = (kind: string) =>
    `${JSON.stringify({at: '2026-01-01T00:00:00.000Z', kind, run: 'x', outcome: 'migrated'})}\n`
  for (let index = 0; index < JOURNALS; index++)
    await writeFile(join(journals, `table${index}@target.jsonl`), line('phase').repeat(400) + line('end'))
  const hook = pathToFileURL(join(shell, 'data', 'node_modules', NAME, 'dist', 'hooks', 'init.js')).href
  const program = join(shell, 'probe.mjs')
  await writeFile(
    program,
    `import {Config} from '@oclif/core'
await Config.load(${JSON.stringify(shell)})
const startMs = performance.now()
const {default: hook} = await import(${JSON.stringify(hook)})
await hook.call({}, {argv: [], config: {bin: 'pegasus', dataDir: ${JSON.stringify(join(shell, 'data'))}}, id: 'plugins'})
console.log(performance.now() - startMs)
`,
  )
  return program
}

/** Installed packages that are no development's, as the lock file has them, and their size on disk. */
export async function productionTree(): Promise<Dependencies> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, {dev?: boolean; devOptional?: boolean; optional?: boolean}>
  }
  const paths = Object.entries(lock.packages)
    .filter(([path, {dev, devOptional}]) => path !== '' && !dev && !devOptional)
    .map(([path]) => path)
  let bytes = 0
  let packages = 0
  for (const path of paths) {
    // Those of other platforms are not there.
    const size = await sizeOf(join(root, path)).catch(() => undefined)
    if (size === undefined) continue
    bytes += size
    packages++
  }

  return {mb: bytes / (1 << 20), packages}
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

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const costs = await measureStartup({rounds: Number(process.argv[2] ?? 25)})
  const rounded = Object.entries(costs).map(([name, value]) => [name, Math.round(value * 100) / 100] as const)
  console.table(Object.fromEntries(rounded))
}
