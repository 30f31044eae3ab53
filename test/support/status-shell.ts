// `pegasus table:migrate-status` from its sources, for tests that need a process; JOURNALS is the directory of the journals.
import {fileURLToPath} from 'node:url'
import {Config, Errors} from '@oclif/core'
import MigrateStatus from '../../src/commands/table/migrate-status.js'

class StatusOfTest extends MigrateStatus {
  static override id = 'table:migrate-status'

  protected override world() {
    return {...super.world(), journalDirectory: process.env.JOURNALS!}
  }
}

const config = await Config.load({root: fileURLToPath(new URL('../..', import.meta.url))})
try {
  await StatusOfTest.run(process.argv.slice(2), config)
} catch (error) {
  await Errors.handle(error as Error)
}
