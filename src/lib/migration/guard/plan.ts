import {readFile, rm, writeFile} from 'node:fs/promises'

import type {MigrationRequest} from '../request.js'
import type {ServerTimers} from '../timers.js'

/** What a guard process must know; handed over in a file that only its owner can read, never by argv. */
export interface GuardPlan {
  dupid: number
  journalDirectory: string
  request: MigrationRequest
  timers: ServerTimers
}

export async function writePlan(path: string, plan: GuardPlan): Promise<void> {
  await rm(path, {force: true})
  await writeFile(path, JSON.stringify(plan), {flag: 'wx', mode: 0o600})
}

/** Reads a plan and removes it: it may hold ZooKeeper's password. */
export async function takePlan(path: string): Promise<GuardPlan> {
  const plan = JSON.parse(await readFile(path, 'utf8')) as GuardPlan
  await rm(path, {force: true})
  return plan
}
