import {playSeeds} from './batch.js'

/* One process of `npm run simulate -- --jobs`: plays the seeds it is given, until its parent has no more. */

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
