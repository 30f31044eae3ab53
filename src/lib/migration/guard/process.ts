import {spawn} from 'node:child_process'
import {fileURLToPath} from 'node:url'

import {systemClock} from '../../clock.js'
import type {UnstampedEvent} from '../events.js'
import {GuardChannel} from './channel.js'
import {type GuardHandle, startGuard} from './handle.js'
import {type GuardPlan, writePlan} from './plan.js'

/** Starts a detached guard process for the time of a cutover. @throws MigratorError `guard.not_started` */
export async function startGuardProcess(plan: GuardPlan, emit: (event: UnstampedEvent) => void): Promise<GuardHandle> {
  const channel = new GuardChannel(plan.journalDirectory, plan.request.table, plan.request.targetCluster)
  return startGuard(channel, systemClock, emit, async () => {
    await writePlan(channel.planPath, plan)
    const own = fileURLToPath(import.meta.url)
    const main = own.replace(/process\.(js|ts)$/, 'main.$1')
    // `execArgv` carries what lets this very process read TypeScript, when it does.
    const child = spawn(process.execPath, [...process.execArgv, main, channel.planPath], {
      detached: true,
      stdio: 'ignore',
    })
    child.on('error', (error) => emit({code: 'guard.not_started', message: error.message, type: 'warning'}))
    child.unref()
  })
}
