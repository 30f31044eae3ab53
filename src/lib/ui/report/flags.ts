import {Flags} from '@oclif/core'
import {formatOf} from './write.js'

export const reportFlags = {
  report: Flags.custom<string>({
    async parse(input) {
      formatOf(input)
      return input
    },
  })({
    description: 'Write a report of the run there, also when it fails: .html, .md or .json.',
    env: 'PEGASUS_MIGRATE_REPORT',
    helpGroup: 'RUN',
    helpValue: 'FILE',
  }),
}
