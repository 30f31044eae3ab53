// `pegasus table:migrate` with a rehearsed migration behind it, for tests that need a process or a terminal:
// REHEARSAL says which plot, REHEARSAL_SPEED how fast.
import {fileURLToPath} from 'node:url'
import {Config, Errors} from '@oclif/core'
import {scaledClock} from '../../src/lib/clock.js'
import type {MigrationWorld} from '../../src/lib/migration/index.js'
import Migrate from '../../src/commands/table/migrate.js'
import {type Plot, rehearse} from './rehearsal.js'

class RehearsedMigrate extends Migrate {
  static override id = 'table:migrate'
  protected override migrate = rehearse((process.env.REHEARSAL ?? 'succeeds') as Plot)

  protected override world(): MigrationWorld {
    return {...super.world(), clock: scaledClock(Number(process.env.REHEARSAL_SPEED ?? 1))}
  }
}

const config = await Config.load({root: fileURLToPath(new URL('../..', import.meta.url))})
try {
  await RehearsedMigrate.run(process.argv.slice(2), config)
} catch (error) {
  await Errors.handle(error as Error)
}
