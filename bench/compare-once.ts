// Compares a canned table once and prints, as JSON, how many rows and how much memory it took at most.
import {CannedBed} from './canned-bed.js'

const bed = await CannedBed.start(JSON.parse(process.argv[2]!))
try {
  const {equal, rowsCompared} = await bed.compare()
  console.log(JSON.stringify({equal, maxRssKiB: process.resourceUsage().maxRSS, rowsCompared}))
} finally {
  await bed.stop()
}
