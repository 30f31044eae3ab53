import {fork} from 'node:child_process'
import {fileURLToPath} from 'node:url'

import {drawPlan} from './plan.js'
import {play, type Report} from './run.js'

/** What a batch of seeds came to. */
export interface BatchReport {
  count: number
  /** How commands ended, and how often. */
  ends: Record<string, number>
  failures: {invariant: string; message: string; seed: number}[]
  virtualMs: number
}

/** Plays seeds one after another. @param enough stops after so many failures */
export async function playSeeds(seeds: Iterable<number>, enough = Number.POSITIVE_INFINITY): Promise<BatchReport> {
  const sum: BatchReport = {count: 0, ends: {}, failures: [], virtualMs: 0}
  for (const seed of seeds) {
    add(sum, await play(drawPlan(seed)))
    if (sum.failures.length >= enough) break
  }

  return sum
}

function add(sum: BatchReport, {ends, failure, seed, virtualMs}: Report): void {
  sum.count++
  sum.virtualMs += virtualMs
  for (const end of ends) sum.ends[end] = (sum.ends[end] ?? 0) + 1
  if (failure) sum.failures.push({invariant: failure.invariant, message: failure.message, seed})
}

export function merge(reports: readonly BatchReport[]): BatchReport {
  const sum: BatchReport = {count: 0, ends: {}, failures: [], virtualMs: 0}
  for (const {count, ends, failures, virtualMs} of reports) {
    sum.count += count
    sum.virtualMs += virtualMs
    for (const [end, times] of Object.entries(ends)) sum.ends[end] = (sum.ends[end] ?? 0) + times
    sum.failures.push(...failures)
  }

  sum.failures.sort((a, b) => a.seed - b.seed)
  return sum
}

export interface JobsOptions {
  enough?: number
  /** For the children, beside those of this process. */
  env?: NodeJS.ProcessEnv
  execArgv?: string[]
  jobs: number
  onProgress?(done: number, last: BatchReport): void
}

/** Seeds from `from` up to, without, `to`. */
export interface Chunk {
  /** Failures; null: any number. */
  enough: number | null
  from: number
  to: number
}

export type FromChild = {playing: number} | {report: BatchReport}

const CHILD = fileURLToPath(new URL('child.ts', import.meta.url))
const UNNAMED = new URL('unnamed.mjs', import.meta.url).href
const CHUNK = 50
/** Killed drivers keep a little of what they had for good: a process is replaced before that is much. */
const CHUNKS_PER_PROCESS = 60
/** Runs take milliseconds, the longest some seconds: one that takes longer goes round in circles. */
const STUCK_MS = 120_000

/** Plays `count` seeds from `from` on in `jobs` processes, in chunks: whoever is done takes the next one. */
export async function playInProcesses(from: number, count: number, options: JobsOptions): Promise<BatchReport> {
  const {enough = Number.POSITIVE_INFINITY, jobs, onProgress} = options
  const reports: BatchReport[] = []
  const chunks = chunksOf(from, from + count, Number.isFinite(enough) ? enough : null)
  let failures = 0
  const take = (report: BatchReport) => {
    reports.push(report)
    failures += report.failures.length
    onProgress?.(
      reports.reduce((sum, {count: done}) => sum + done, 0),
      report,
    )
  }

  const worker = async () => {
    while (failures < enough) {
      const {done, value: first} = chunks.next()
      if (done) return
      await childPlays(options, first, take, () => (failures < enough ? chunks.next().value : undefined))
    }
  }

  await Promise.all(Array.from({length: Math.max(1, Math.min(jobs, Math.ceil(count / CHUNK)))}, worker))
  return merge(reports)
}

function* chunksOf(from: number, to: number, enough: number | null): Generator<Chunk, undefined> {
  for (let next = from; next < to; next += CHUNK) yield {enough, from: next, to: Math.min(next + CHUNK, to)}
}

/**
 * One process, for as long as it lives and there are chunks. One that dies, or has nothing to tell for long, fails with the seed that it
 * was at; what is left of its chunk is not played.
 */
function childPlays(
  {env, execArgv}: JobsOptions,
  first: Chunk,
  take: (report: BatchReport) => void,
  next: () => Chunk | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const flags = [
      '--max-old-space-size=1024',
      '--import',
      'tsx',
      '--import',
      UNNAMED,
      '--max-semi-space-size=64',
      '--min-semi-space-size=64',
    ]
    const child = fork(CHILD, [], {env: {...process.env, ...env}, execArgv: execArgv ?? flags})
    let chunk: Chunk | undefined = first
    let playing: number | undefined
    let played = 0
    let stuck = false
    const watch = setTimeout(() => {
      stuck = true
      child.kill('SIGKILL')
    }, STUCK_MS)
    child.on('message', (message: FromChild) => {
      watch.refresh()
      if ('playing' in message) {
        ;({playing} = message)
        return
      }

      take(message.report)
      chunk = ++played < CHUNKS_PER_PROCESS ? next() : undefined
      if (chunk) child.send(chunk)
      else child.disconnect()
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearTimeout(watch)
      if (code === 0 && !chunk) {
        resolve()
      } else if (chunk && playing !== undefined && (stuck || signal !== null)) {
        const message = stuck ? `does not end within ${STUCK_MS / 1000} s` : `its process died (${signal})`
        const failures = [{invariant: 'process', message, seed: playing}]
        take({count: playing - chunk.from + 1, ends: {}, failures, virtualMs: 0})
        resolve()
      } else {
        reject(new Error(`a process of the simulation ended with ${code ?? signal}`))
      }
    })
    child.send(first)
  })
}
