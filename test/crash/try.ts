import {scenarios, record} from './scenarios.js'
import {killMoments, faultMoments, nameOf, runCase, type Mend} from './matrix.js'
const [, , name = '', mends = 'resume', what = 'kill', grep = ''] = process.argv
const groups = new Map<string, string[]>()
let n = 0,
  failed = 0
const t0 = performance.now()
process.on('unhandledRejection', (e) => {
  console.log('UNHANDLED', e)
})
for (const s of scenarios.filter((s) => s.name.includes(name))) {
  const r = await record(s)
  const moments = what === 'kill' ? killMoments(r) : faultMoments(r)
  for (const mend of mends.split(',') as Mend[])
    for (const m of moments) {
      if (!nameOf(m).includes(grep)) continue
      n++
      const t = performance.now()
      try {
        await runCase(s, m, mend)
        if (performance.now() - t > 3000)
          console.log('SLOW', s.name, nameOf(m), mend, Math.round(performance.now() - t))
      } catch (e) {
        failed++
        const short = (e as Error).message.replaceAll(/\s+/g, ' ')
        const key = short.slice(0, 160)
        groups.set(key, [...(groups.get(key) ?? []), `${s.name} | ${nameOf(m)} | ${mend}`])
        if (grep || groups.get(key)!.length === 1)
          console.log(
            `FAILED ${s.name} | ${nameOf(m)} | ${mend}: ${grep ? (e as Error).stack : (e as Error).message.slice(0, 900)}`,
          )
      }
    }
}
for (const [k, v] of groups) console.log(v.length, 'x', k, '\n    ', v.slice(0, 12).join('\n     '))
console.log(n, 'cases', failed, 'failed', Math.round(performance.now() - t0), 'ms')
process.exit(0)
