import {type ChildProcess, fork} from 'node:child_process'
import {fileURLToPath} from 'node:url'

import type {Plan} from '../seeded/plan.js'
import type {PlantedBug} from './planted.js'

const CHILD = fileURLToPath(new URL('child.ts', import.meta.url))
const PLANT = fileURLToPath(new URL('plant.mjs', import.meta.url))

/** What a process with a planted bug can be asked. */
export type Question =
  | {kind: 'play'; plan: Plan}
  /** Plays seeds until one fails. */
  | {from: number; kind: 'search'; to: number}
  | {kind: 'shrink'; plan: Plan}

/** The plan that failed, and how; undefined: none did. */
export interface Failed {
  message: string
  plan: Plan
}

/** A process in which a bug is planted: the sources are changed as they are loaded. */
export class PlantedProcess {
  private readonly child: ChildProcess
  private readonly ended: Promise<never>

  constructor({edits, id}: PlantedBug) {
    this.child = fork(CHILD, [], {
      env: {...process.env, PLANTED_BUG: JSON.stringify({edits})},
      execArgv: ['--import', PLANT, '--import', 'tsx', '--max-semi-space-size=64', '--min-semi-space-size=64'],
    })
    this.ended = new Promise((_, reject) => {
      this.child.once('error', reject)
      this.child.once('exit', (code) => reject(new Error(`the process with ${id} ended with ${code}`)))
    })
    this.ended.catch(() => {})
  }

  ask(question: Question): Promise<Failed | undefined> {
    const answer = new Promise<Failed | undefined>((resolve) => {
      this.child.once('message', (failed: Failed | null) => resolve(failed ?? undefined))
    })
    this.child.send(question)
    return Promise.race([answer, this.ended])
  }

  end(): void {
    this.child.disconnect()
  }
}
