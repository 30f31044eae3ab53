import {execFile, spawn} from 'node:child_process'
import {existsSync} from 'node:fs'
import {cp, mkdir, readFile, symlink} from 'node:fs/promises'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {promisify} from 'node:util'

/** A `pegasus` shell that has the plugin. */
export interface Shell {
  /** Where plugins keep what they must remember. */
  dataDirectory: string
  env: NodeJS.ProcessEnv
  /** What Node runs. */
  program: string
}

export interface ShellRun {
  exitCode: number
  /** What it printed, without colours and cursor movements. */
  text: string
}

const FORWARDED = ['SIGHUP', 'SIGTERM'] as const
const SCRIPT = '/usr/bin/script'

/** Makes the shell of test/host in a directory of its own and links the plugin, as built, into it. */
export async function makeShell(directory: string): Promise<Shell> {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  await cp(join(root, 'test', 'host'), directory, {recursive: true})
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
  const env: NodeJS.ProcessEnv = {...process.env}
  for (const kind of ['cache', 'config', 'data']) {
    env[`PEGASUS_${kind.toUpperCase()}_DIR`] = join(directory, kind)
    await mkdir(join(directory, kind))
  }

  const shell = {dataDirectory: join(directory, 'data'), env, program: join(directory, 'bin', 'run.js')}
  await promisify(execFile)(process.execPath, [shell.program, 'plugins', 'link', root, '--no-install'], {env})
  return shell
}

function quote(word: string): string {
  return /^[\w,./:=@-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}

function plain(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/\u001B\[[\d;?]*[A-Za-z]/g, '').replaceAll('\r', '')
}

/**
 * Runs a command of the shell, its output shown as it comes. On a terminal it gets one of its own, by script(1), so that
 * its output can be both live and read.
 * @param logDirectory for what script(1) records
 */
export async function runShell(shell: Shell, args: string[], logDirectory: string): Promise<ShellRun> {
  const words = [process.execPath, shell.program, ...args]
  const onTerminal = process.stdout.isTTY && existsSync(SCRIPT)
  const log = join(logDirectory, 'output')
  const child = onTerminal
    ? spawn(SCRIPT, ['-qefc', words.map((word) => quote(word)).join(' '), log], {env: shell.env, stdio: 'inherit'})
    : spawn(words[0]!, words.slice(1), {env: shell.env, stdio: ['ignore', 'pipe', 'inherit']})
  // Ctrl-C reaches the command by the terminal; a second one would make it leave at once.
  const forward = (signal: NodeJS.Signals) => child.kill(signal)
  for (const signal of FORWARDED) process.on(signal, forward)
  let text = ''
  child.stdout?.on('data', (bytes: Buffer) => {
    text += bytes.toString()
    process.stdout.write(bytes)
  })
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
  for (const signal of FORWARDED) process.off(signal, forward)
  return {exitCode, text: plain(onTerminal ? await readFile(log, 'utf8') : text)}
}
