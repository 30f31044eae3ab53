import {createHash} from 'node:crypto'
import {existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {fileURLToPath} from 'node:url'

/* Inputs that are kept: each ended in a way that no other one did, or was a finding once. */

const root = fileURLToPath(new URL('corpus/', import.meta.url))

/** One file a target; a line is an input in base64 and, after a blank, what was special about it. */
function pathOf(target: string): string {
  return `${root}${target}.txt`
}

export function readCorpus(target: string): Buffer[] {
  if (!existsSync(pathOf(target))) return []
  const lines = readFileSync(pathOf(target), 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => Buffer.from(line.split(' ', 1)[0]!, 'base64'))
}

/** Keeps an input; one that is known stays as it is. @returns its short name */
export function keep(target: string, input: Buffer, why: string): string {
  mkdirSync(root, {recursive: true})
  const line = `${input.toString('base64')} ${why.replaceAll(/[^!-~]+/g, ' ').trim()}\n`
  const before = existsSync(pathOf(target)) ? readFileSync(pathOf(target), 'utf8') : ''
  const known = before.split('\n').some((other) => other.startsWith(`${line.split(' ', 1)[0]!} `))
  if (!known) writeFileSync(pathOf(target), before + line)
  return createHash('sha256').update(input).digest('hex').slice(0, 12)
}

export function corpusTargets(): string[] {
  return readdirSync(root).map((name) => name.replace(/\.txt$/, ''))
}
