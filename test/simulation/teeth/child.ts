import {drawPlan, type Plan} from '../seeded/plan.js'
import {play} from '../seeded/run.js'
import {shrink} from '../seeded/shrink.js'
import type {Failed, Question} from './planted-process.js'

/* A process with a planted bug: answers until its parent has no more questions. */

/** A plan is shrunk so far that it is quick, not for a reader. */
const MOST_TRIALS = 40

async function failureOf(plan: Plan): Promise<Failed | undefined> {
  const {failure} = await play(plan)
  return failure && {message: failure.message, plan}
}

async function answer(question: Question): Promise<Failed | undefined> {
  if (question.kind === 'play') return failureOf(question.plan)
  if (question.kind === 'shrink') {
    const report = await play(question.plan)
    if (!report.failure) return undefined
    const small = await shrink(question.plan, report, MOST_TRIALS)
    return {message: small.report.failure!.message, plan: small.plan}
  }

  for (let seed = question.from; seed < question.to; seed++) {
    const failed = await failureOf(drawPlan(seed))
    if (failed) return failed
  }

  return undefined
}

process.on('message', (question: Question) => {
  answer(question).then(
    (failed) => process.send!(failed ?? null),
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})
