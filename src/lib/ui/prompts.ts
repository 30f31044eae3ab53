import type {Readable} from 'node:stream'
import type {CheckResult} from '../migration/preflight/check.js'
import {formatDuration} from './text.js'

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
        message,
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
  const message = `Move ${table} from ${source} to ${target}? Type the table's name to begin; anything else stops here:`
  return (await ask(terminal, message, signal)) === table
}

/** The names of the checks typed one after the other; false at the first that was not. */
export async function acceptChecks(terminal: Terminal, checks: CheckResult[], signal: AbortSignal): Promise<boolean> {
  for (const {id} of checks) {
    const message = `Go on in spite of ${id}? Type ${id} to accept that; anything else stops here:`
    if ((await ask(terminal, message, signal)) !== id) return false
  }

  return true
}

/** What the operator says once everything is on the target and there is no metaproxy to switch. */
export async function askMoved(
  terminal: Terminal,
  limits: {deniedForMs: number | undefined; maxWriteDenyMs: number},
  signal: AbortSignal,
): Promise<'abort' | 'moved'> {
  const {deniedForMs, maxWriteDenyMs} = limits
  const left = deniedForMs === undefined ? '' : ` You have less than ${formatDuration(maxWriteDenyMs - deniedForMs)}.`
  const message = `Type "moved" to hand over, or "abort" to allow writes on the source again.${left}`
  return (await ask(terminal, message, signal, ['moved', 'abort'])) === 'moved' ? 'moved' : 'abort'
}
