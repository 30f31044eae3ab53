import {closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync} from 'node:fs'

/* Read before every command of the shell: node:fs only, no other module, some milliseconds at most. */

/** Enough for everything that a cutover writes after its deny. */
const TAIL_BYTES = 32_768
/** Enough for the record of a run's end: most journals need no further look. */
const GLANCE_BYTES = 512
const SUFFIX = '.jsonl'

/** A table that may be write-denied, as a journal of this machine says. */
export interface PerhapsDenied {
  /** When the deny was sent, as the journal has it. */
  since: string
  table: string
}

/** Effects after which writes of clients are denied on the side that serves. */
const denying = new Set(['deny', 'deny-target', 'switch-node-back'])
/** Effects after which some side takes writes, once they are done. */
const allowing = new Set(['close-source', 'lift-deny', 'lift-target', 'switch-node'])
/** Parsing is what takes time: a line without one of these is passed over. */
const worthParsing = new RegExp(`"kind":"(?:end|${[...denying, ...allowing].join('|')})"`)

/**
 * Tables whose journals here end with a deny that nothing took back. A run that is alive has its own screen to tell of its
 * deny: its tables are left out. Never throws: a hint must not keep a command from running.
 */
export function findPerhapsDenied(directory: string): PerhapsDenied[] {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch {
    return [] // no directory: no migration ever ran here
  }

  const alive = new Set(names.filter((name) => name.endsWith('.lock')).flatMap((name) => aliveTable(directory, name)))
  return names
    .filter((name) => name.endsWith(SUFFIX))
    .flatMap((name) => {
      const table = tableOf(name)
      if (table === undefined || alive.has(table)) return []
      const path = `${directory}/${name}`
      if (hasEndedWell(readTail(path, GLANCE_BYTES))) return []
      const since = deniedSince(readTail(path, TAIL_BYTES))
      return since === undefined ? [] : [{since, table}]
    })
}

/** Whether the last line is the end of a run that left nothing denied; false also when that cannot be told. */
function hasEndedWell(tail: string): boolean {
  const record = parse(tail.slice(tail.lastIndexOf('\n', tail.length - 2) + 1))
  return record?.kind === 'end' && record.outcome !== 'write-denied'
}

/** When the last deny was sent that the records do not tell the end of; undefined: there is none. */
export function deniedSince(tail: string): string | undefined {
  const lines = tail.split('\n')
  for (let index = lines.length - 1; index >= 0; index--) {
    const record = parse(lines[index]!)
    if (record?.kind === 'end' && record.outcome !== 'write-denied') return undefined
    if (record?.kind !== 'after' && record?.kind !== 'before') continue
    const kind = record.effect?.kind ?? ''
    if (record.kind === 'after' && record.outcome === 'done' && allowing.has(kind)) return undefined
    // Sent, or about to be: an effect that was begun may have happened.
    if (denying.has(kind)) return String(record.at)
  }

  return undefined
}

interface Line {
  at: string
  effect?: {kind: string}
  kind: string
  outcome?: string
}

function parse(line: string): Line | undefined {
  if (!worthParsing.test(line)) return undefined
  try {
    return JSON.parse(line) as Line
  } catch {
    return undefined // a torn line
  }
}

function readTail(path: string, mostBytes: number): string {
  try {
    const file = openSync(path, 'r')
    try {
      const {size} = fstatSync(file)
      const bytes = Buffer.alloc(Math.min(size, mostBytes))
      readSync(file, bytes, 0, bytes.length, size - bytes.length)
      return bytes.toString('utf8')
    } finally {
      closeSync(file)
    }
  } catch {
    return '' // it cannot be read: the commands that need it say so
  }
}

function tableOf(name: string): string | undefined {
  const [table] = name.split('@')
  try {
    return decodeURIComponent(table!)
  } catch {
    return undefined // not a name of ours
  }
}

/** The table of a lock whose process lives. */
function aliveTable(directory: string, name: string): string[] {
  try {
    const {pid} = JSON.parse(readFileSync(`${directory}/${name}`, 'utf8')) as {pid: number}
    process.kill(pid, 0)
    const table = tableOf(name)
    return table === undefined ? [] : [table]
  } catch {
    return [] // no such process, or no lock of ours
  }
}
