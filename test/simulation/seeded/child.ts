import {type Chunk, type FromChild, playSeeds} from './batch.js'

/* One process of `npm run simulate -- --jobs`: plays the seeds it is given, until its parent has no more. */

// Thousands of errors are made on the way, and what a seed fails with is looked at when it is played alone.
Error.stackTraceLimit = 0
// Thousands of messages too: Node's own 8 KiB at a time cost more.
Buffer.poolSize = 1 << 18

process.on('message', ({enough, from, to}: Chunk) => {
  playSeeds(told(from, to), enough ?? undefined).then(
    (report) => process.send!({report} satisfies FromChild),
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})

/** The parent knows which seed it was, should this process not survive it. */
function* told(from: number, to: number): Generator<number> {
  for (let seed = from; seed < to; seed++) {
    process.send!({playing: seed} satisfies FromChild)
    yield seed
  }
}
