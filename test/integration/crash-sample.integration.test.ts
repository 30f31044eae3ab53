import {type Case, define, faultsOf, killsOf, mendsOf, troublesOf} from '../crash/define.js'
import {detours, migrations, rollbacks} from '../crash/scenarios.js'

/*
 * A part of `npm run test:crash` (docs/crash-tests.md) that is small enough for every day: all deaths around the cutover of one
 * kind of migration, and of everything else every so manieth case.
 */

const CUTOVER = /\b(deny|pause-duplication|switch-node|close-source)\b/

const everyNth = (cases: Case[], n: number, from: number) => cases.filter((_, index) => index % n === from % n)

const [common, ...others] = migrations
define(
  `killed in the cutover: ${common!.name}`,
  (await killsOf(common!, mendsOf(common!))).filter(({name}) => CUTOVER.test(name) && name.includes('#')),
)
for (const [index, scenario] of [...others, ...detours, ...rollbacks].entries()) {
  define(`killed: ${scenario.name}`, everyNth(await killsOf(scenario, mendsOf(scenario)), 29, index))
}

for (const [index, scenario] of [...migrations, ...rollbacks].entries()) {
  define(`an effect fails: ${scenario.name}`, everyNth(await faultsOf(scenario), 23, index * 5))
}

define(`trouble: ${common!.name}`, everyNth(await troublesOf(common!), 13, 5))
