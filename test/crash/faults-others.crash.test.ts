import {define, faultsOf} from './define.js'
import {scenarios} from './scenarios.js'

for (const scenario of scenarios.filter(({options}) => options.profile !== '2.5')) {
  define(`an effect fails: ${scenario.name}`, await faultsOf(scenario))
}
