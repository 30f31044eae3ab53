// `pegasus table:migrate-verify` from its sources, for tests that need a process; STATE is where it keeps its state.
import {fileURLToPath} from 'node:url'
import {Config, Errors} from '@oclif/core'
import MigrateVerify from '../../src/commands/table/migrate-verify.js'

class VerifyOfTest extends MigrateVerify {
  static override id = 'table:migrate-verify'

  protected override world() {
    return {...super.world(), stateDirectory: process.env.STATE!}
  }
}

const config = await Config.load({root: fileURLToPath(new URL('../..', import.meta.url))})
try {
  await VerifyOfTest.run(process.argv.slice(2), config)
} catch (error) {
  await Errors.handle(error as Error)
}
