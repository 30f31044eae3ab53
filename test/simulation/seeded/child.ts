import {playSeeds} from './batch.js'

/* One process of `npm run simulate -- --jobs`: plays the seeds it is given, until its parent has no more. */

// Thousands of errors are made on the way, and what a seed fails with is looked at when it is played alone.
Error.stackTraceLimit = 0
// Thousands of messages too; Node's own 8 KiB at a time are a fifteenth of all the work.
Buffer.poolSize = 1 << 20

process.on('message', ({enough, from, to}: {enough: number | null; from: number; to: number}) => {
  const seeds = Array.from({length: to - from}, (_, index) => from + index)
  playSeeds(seeds, enough ?? undefined).then(
    (report) => process.send!(report),
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})
