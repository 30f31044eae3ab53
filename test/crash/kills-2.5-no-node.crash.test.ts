import {define, killsOf, mendsOf} from './define.js'
import {migrations} from './scenarios.js'

for (const scenario of migrations.filter(({options}) => options.profile === '2.5' && !options.root)) {
  define(`killed: ${scenario.name}`, await killsOf(scenario, mendsOf(scenario)))
}
