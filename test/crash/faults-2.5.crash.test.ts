import {define, faultsOf} from './define.js'
import {migrations} from './scenarios.js'

for (const scenario of migrations.filter(({options}) => options.profile === '2.5')) {
  define(`an effect fails: ${scenario.name}`, await faultsOf(scenario))
}
