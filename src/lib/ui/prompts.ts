import type {Readable} from 'node:stream'
import type {CheckResult} from '../migration/preflight/check.js'
import {printable} from './text.js'

/** Where a person sits. */
export interface Terminal {
  input: Readable
  output: NodeJS.WritableStream
}

/** Ctrl-C or Ctrl-D in a prompt. */
export class PromptClosed extends Error {}

/** Asks for one word until one of `answers` comes; any other word when `answers` has no such word is given back too. */
async function ask(terminal: Terminal, message: string, signal: AbortSignal, answers?: string[]): Promise<string> {
  const {input} = await import('@inquirer/prompts')
  try {
    const answer = await input(
      {
        // Names of clusters come from servers.
        message: printable(message),
        theme: {validationFailureMode: 'clear'},
        validate: (word) => !answers || answers.includes(word.trim()) || `Type ${answers.join(' or ')}.`,
      },
      {clearPromptOnDone: false, input: terminal.input, output: terminal.output, signal},
    )
    return answer.trim()
  } catch (error) {
    if (error instanceof Error && error.name === 'ExitPromptError') throw new PromptClosed('the prompt was closed')
    if (signal.aborted) throw signal.reason
    throw error
  }
}

/** Whether a person may be asked: not into a pipe, and not from one. */
export function findTerminal(streams: {
  stderr: NodeJS.WriteStream
  stdin: NodeJS.ReadStream
  stdout: NodeJS.WriteStream
}): Terminal | undefined {
  const {stderr, stdin, stdout} = streams
  const output = [stdout, stderr].find((stream) => stream.isTTY)
  return stdin.isTTY && output ? {input: stdin, output} : undefined
}

/** The table's name typed, or no. */
export async function confirmTable(
  terminal: Terminal,
  names: {source: string; table: string; target: string},
  signal: AbortSignal,
): Promise<boolean> {
  const {source, table, target} = names
  // Prompts stay within one line of 80: a longer one is drawn again below itself with each key.
  const message = `Type ${table} to move it from ${source} to ${target}:`
  return (await ask(terminal, message, signal)) === table
}

/** The names of the checks typed one after the other; false at the first that was not. */
export async function acceptChecks(terminal: Terminal, checks: CheckResult[], signal: AbortSignal): Promise<boolean> {
  for (const {id} of checks) {
    const message = `Type ${id} to go on in spite of it:`
    if ((await ask(terminal, message, signal)) !== id) return false
  }

  return true
}

/** What the operator says once everything is on the target and there is no metaproxy to switch. */
export async function askMoved(terminal: Terminal, signal: AbortSignal): Promise<'abort' | 'moved'> {
  const answers = ['moved', 'abort']
  return (await ask(terminal, 'moved or abort:', signal, answers)) === 'moved' ? 'moved' : 'abort'
}

/** Whether this very word was typed. */
export async function confirmWord(
  terminal: Terminal,
  message: string,
  word: string,
  signal: AbortSignal,
): Promise<boolean> {
  return (await ask(terminal, message, signal)) === word
}
