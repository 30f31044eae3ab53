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

const CHILD = fileURLToPath(new URL('child.ts', import.meta.url))
const UNNAMED = new URL('unnamed.mjs', import.meta.url).href
const CHUNK = 50

/** Plays `count` seeds from `from` on in `jobs` processes, in chunks: whoever is done takes the next one. */
export async function playInProcesses(from: number, count: number, options: JobsOptions): Promise<BatchReport> {
  const {enough = Number.POSITIVE_INFINITY, env, execArgv, jobs, onProgress} = options
  const reports: BatchReport[] = []
  let next = from
  let failures = 0
  const worker = () =>
    new Promise<void>((resolve, reject) => {
      const child = fork(CHILD, [], {
        env: {...process.env, ...env},
        execArgv: execArgv ?? [
          '--import',
          'tsx',
          '--import',
          UNNAMED,
          '--max-semi-space-size=64',
          '--min-semi-space-size=64',
        ],
      })
      const give = () => {
        if (next >= from + count || failures >= enough) {
          child.disconnect()
          return
        }

        const end = Math.min(next + CHUNK, from + count)
        child.send({enough, from: next, to: end})
        next = end
      }

      child.on('message', (report: BatchReport) => {
        reports.push(report)
        failures += report.failures.length
        onProgress?.(
          reports.reduce((sum, {count: done}) => sum + done, 0),
          report,
        )
        give()
      })
      child.once('error', reject)
      child.once('exit', (code) =>
        code === 0 ? resolve() : reject(new Error(`a process of the simulation ended with ${code}`)),
      )
      give()
    })
  await Promise.all(Array.from({length: Math.max(1, Math.min(jobs, Math.ceil(count / CHUNK)))}, worker))
  return merge(reports)
}
