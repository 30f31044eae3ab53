import {readFile, rm, writeFile} from 'node:fs/promises'

import {messageOf, MigratorError} from '../../errors.js'
import type {ProcessName} from '../../processes.js'
import {isTexts} from '../../values.js'
import type {MigrationRequest} from '../request.js'
import type {ServerTimers} from '../timers.js'

/** What a guard process must know; handed over in a file that only its owner can read, never by argv. */
export interface GuardPlan {
  /** Once it is dead nobody can wake up any more. */
  driver: ProcessName
  dupid: number
  journalDirectory: string
  /** Of the driver's locks. */
  lockToken?: string
  request: MigrationRequest
  timers: ServerTimers
}

export async function writePlan(path: string, plan: GuardPlan): Promise<void> {
  await rm(path, {force: true})
  await writeFile(path, JSON.stringify(plan), {flag: 'wx', mode: 0o600})
}

/** Reads a plan and removes it: it may hold ZooKeeper's password. @throws MigratorError `guard.bad_plan` */
export async function takePlan(path: string): Promise<GuardPlan> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
    await rm(path, {force: true})
  } catch (error) {
    throw badPlan(messageOf(error), error)
  }

  return parsePlan(text)
}

/** @throws MigratorError `guard.bad_plan`, without a word of what it holds */
export function parsePlan(text: string): GuardPlan {
  let plan: GuardPlan
  try {
    plan = JSON.parse(text) as GuardPlan
  } catch {
    // Not even as a cause: the parser's message quotes the text.
    throw badPlan('it is not JSON')
  }

  if (!isPlan(plan)) throw badPlan('something is missing from it')
  return plan
}

function isPlan(plan: Partial<GuardPlan> | null): boolean {
  const {driver, dupid, journalDirectory, request, timers} = plan ?? {}
  if (typeof request !== 'object' || request === null || typeof timers !== 'object' || timers === null) return false
  const lists = [request.sourceMetas, request.targetMetas]
  return (
    typeof driver?.pid === 'number' &&
    typeof dupid === 'number' &&
    [journalDirectory, request.table, request.targetCluster].every((word) => typeof word === 'string') &&
    ['reconfig', 'timeout'].includes(request.denyMode) &&
    lists.every((list) => isTexts(list))
  )
}

function badPlan(why: string, cause?: unknown): MigratorError {
  return new MigratorError('guard.bad_plan', `the guard's plan cannot be used: ${why}`, {cause})
}
