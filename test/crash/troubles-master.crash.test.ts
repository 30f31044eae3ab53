import {define, troublesOf} from './define.js'
import {migrations} from './scenarios.js'

// Each way of denying once, each kind of commit point once.
for (const scenario of migrations.filter(
  ({options}) => options.profile === 'master' && (options.denyMode === 'reconfig') === options.root,
)) {
  define(`trouble: ${scenario.name}`, await troublesOf(scenario))
}
