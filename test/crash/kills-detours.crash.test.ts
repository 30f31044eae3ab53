import {define, killsOf, mendsOf} from './define.js'
import {detours, rollbacks} from './scenarios.js'

for (const scenario of [...detours, ...rollbacks]) {
  define(`killed: ${scenario.name}`, await killsOf(scenario, mendsOf(scenario)))
}
