import {spawn} from 'node:child_process'
import {existsSync} from 'node:fs'
import {readFile} from 'node:fs/promises'
import {join} from 'node:path'

/** A `pegasus` shell that has the plugin. */
export interface Shell {
  args: string[]
  command: string
  env: NodeJS.ProcessEnv
}

export interface ShellRun {
  exitCode: number
  /** What it printed, without colours and cursor movements. */
  text: string
}

const SCRIPT = '/usr/bin/script'

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
  const words = [shell.command, ...shell.args, ...args]
  const onTerminal = process.stdout.isTTY && existsSync(SCRIPT)
  const log = join(logDirectory, 'output')
  const child = onTerminal
    ? spawn(SCRIPT, ['-qefc', words.map((word) => quote(word)).join(' '), log], {env: shell.env, stdio: 'inherit'})
    : spawn(words[0]!, words.slice(1), {env: shell.env, stdio: ['ignore', 'pipe', 'inherit']})
  let text = ''
  child.stdout?.on('data', (bytes: Buffer) => {
    text += bytes.toString()
    process.stdout.write(bytes)
  })
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
  return {exitCode, text: plain(onTerminal ? await readFile(log, 'utf8') : text)}
}
