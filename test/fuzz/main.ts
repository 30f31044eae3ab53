import {parseArgs} from 'node:util'

import {keep, readCorpus} from './corpus.js'
import {targets} from './targets/index.js'
import {watchedRound} from './watch.js'

/* `npm run fuzz [-- --seconds N --seed S --target NAME --keep]`: hostile bytes for everything that reads bytes of others. */

const {values} = parseArgs({
  options: {
    keep: {default: false, type: 'boolean'},
    seconds: {default: '60', type: 'string'},
    seed: {default: String(Date.now() % 1_000_000), type: 'string'},
    target: {type: 'string'},
  },
})
const chosen = targets.filter(({name}) => values.target === undefined || name === values.target)
if (chosen.length === 0)
  throw new Error(`no target ${values.target}; there are ${targets.map(({name}) => name).join(', ')}`)
const seconds = Number(values.seconds)
const seed = Number(values.seed)
/** Short rounds: what one target learns, the corpus tells the next round. */
const rounds = Math.max(1, Math.round(seconds / chosen.length / 60))
const milliseconds = (seconds * 1000) / chosen.length / rounds
const sums = new Map(chosen.map(({name}) => [name, {findings: 0, inputs: 0, kept: 0, memory: 0, ms: 0}]))
console.log(`${chosen.length} targets, ${seconds} s, seed ${seed}`)
for (let n = 0; n < rounds; n++) {
  for (const {name} of chosen) {
    const round = await watchedRound(name, {corpus: readCorpus(name), milliseconds, seed: seed + n})
    const sum = sums.get(name)!
    sum.inputs += round.inputs
    sum.findings += round.findings.length
    sum.kept += round.kept.length
    sum.memory = Math.max(sum.memory, round.mostMemoryBytes)
    sum.ms = Math.max(sum.ms, round.slowestMs)
    if (values.keep)
      for (const {input, signature} of round.kept.slice(0, 40)) if (input.length < 2000) keep(name, input, signature)
    for (const {input, why} of round.findings)
      console.log(
        `FINDING ${name} seed ${seed + n}, kept as ${keep(name, input, `finding: ${why.split('\n', 1)[0]}`)}\n  ${why}`,
      )
  }
}

for (const [name, {findings, inputs, kept, memory, ms}] of sums)
  console.log(
    `${name.padEnd(16)} ${String(inputs).padStart(10)} inputs, ${findings} findings, ${kept} new endings,` +
      ` slowest ${ms.toFixed(0)} ms, at most ${(memory / 1024 / 1024).toFixed(0)} MiB`,
  )
const all = [...sums.values()]
const total = (key: 'findings' | 'inputs') => all.reduce((sum, figures) => sum + figures[key], 0)
console.log(`${total('inputs')} inputs, ${total('findings')} findings`)
process.exitCode = total('findings') > 0 ? 1 : 0
