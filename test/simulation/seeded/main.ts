import {appendFile} from 'node:fs/promises'
import {parseArgs} from 'node:util'

import {type BatchReport, playInProcesses} from './batch.js'
import {drawPlan} from './plan.js'
import {play, type Report} from './run.js'
import {keep} from './once-failing.js'
import {shrink} from './shrink.js'

const HELP = `npm run simulate -- [options]

  --seeds N      how many runs (default 100)
  --seed-from S  the first seed (default 1)
  --jobs J       processes (default 1)
  --seed X       one run: how it went, and, if it failed, the smallest plan that still fails
  --trace        with --seed: everything that happened, and the hash of it
  --keep TEXT    with --seed: adds the plan to once-failing.json, with what was wrong
  --no-shrink    with --seed: a failing run as it was drawn
`

/** Plays many seeds. @returns the exit code */
async function many(from: number, count: number, jobs: number): Promise<number> {
  const startMs = performance.now()
  let told = 0
  const report = await playInProcesses(from, count, {
    jobs,
    onProgress(done, {failures}) {
      for (const failure of failures) console.log(lineOf(failure))
      if (done - told < 1000) return
      told = done
      console.log(`${done} of ${count}`)
    },
  })
  tell(report, from, (performance.now() - startMs) / 1000)
  const {length: failed} = report.failures
  // For the sum of `npm test`.
  const counts = process.env.MOCHA_COUNTS_FILE
  const failures = report.failures.map(({message, seed}) => ({
    error: message,
    title: `simulated migration, seed ${seed}`,
  }))
  if (counts)
    await appendFile(counts, `${JSON.stringify({failed, failures, passed: report.count - failed, skipped: 0})}\n`)
  return failed === 0 ? 0 : 1
}

const lineOf = ({message, seed}: BatchReport['failures'][number]) =>
  `seed ${seed} failed: ${message.split('\n')[0]}\n    npm run simulate -- --seed ${seed} --trace`

function tell({count, ends, failures, virtualMs}: BatchReport, from: number, seconds: number): void {
  console.log(
    `commands ended: ${Object.entries(ends)
      .sort(([, a], [, b]) => b - a)
      .map(([end, times]) => `${times} ${end}`)
      .join(', ')}`,
  )
  console.log(
    `${count} runs from seed ${from} on, ${(virtualMs / 3_600_000).toFixed(0)} h of simulated time in ${seconds.toFixed(1)} s (${(count / seconds).toFixed(1)} a second): ${failures.length} failed`,
  )
}

async function one(
  seed: number,
  options: {keep: string | undefined; shrink: boolean; trace: boolean},
): Promise<number> {
  const plan = drawPlan(seed)
  let report: Report = await play(plan)
  let told = plan
  if (report.failure && options.shrink) {
    const small = await shrink(plan, report)
    console.log(`shrunk in ${small.trials} runs`)
    report = small.report
    told = small.plan
  }

  console.log(JSON.stringify(told, null, 2))
  if (options.keep !== undefined) await keep({plan: told, was: options.keep})
  if (options.trace) {
    console.log(report.trace.join('\n'))
    console.log(`hash ${report.hash}`)
  }

  console.log(
    report.failure
      ? `seed ${seed} failed: ${report.failure.message}`
      : `seed ${seed}: all invariants held; ${report.ends.join(', ')}`,
  )
  return report.failure ? 1 : 0
}

const {values} = parseArgs({
  options: {
    help: {type: 'boolean'},
    keep: {type: 'string'},
    jobs: {default: '1', type: 'string'},
    'no-shrink': {type: 'boolean'},
    seed: {type: 'string'},
    'seed-from': {default: '1', type: 'string'},
    seeds: {default: '100', type: 'string'},
    trace: {type: 'boolean'},
  },
})
if (values.help) console.log(HELP)
else {
  process.exitCode =
    values.seed === undefined
      ? await many(Number(values['seed-from']), Number(values.seeds), Number(values.jobs))
      : await one(Number(values.seed), {keep: values.keep, shrink: !values['no-shrink'], trace: values.trace ?? false})
}
