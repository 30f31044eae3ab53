// `pegasus table:migrate` with a rehearsed migration behind it, for tests that need a process or a terminal:
// REHEARSAL says which plot, REHEARSAL_SPEED how fast, REHEARSAL_REPORT which file is to hear of the end,
// REHEARSAL_HOLD that it waits for the key first.
import {appendFileSync} from 'node:fs'
import {fileURLToPath} from 'node:url'
import {Config, Errors} from '@oclif/core'
import {scaledClock} from '../../src/lib/clock.js'
import type {Migrate as MigrateTable, MigrationWorld} from '../../src/lib/migration/index.js'
import Migrate from '../../src/commands/table/migrate.js'
import {type Plot, rehearse} from './rehearsal.js'

const report = process.env.REHEARSAL_REPORT
if (report) process.on('exit', (code) => appendFileSync(report, `exit ${code}\n`))

/** Tells the report of the undo, which nobody can see on a terminal that is gone. */
function reporting(migrate: MigrateTable): MigrateTable {
  return async (request, world, hooks, options) => {
    if (process.env.REHEARSAL_HOLD) {
      const pressed = hooks.releaseKey?.pressed(options.signal)
      // Told when keys are listened to: one typed before would be the terminal's.
      process.stdout.write('held\n')
      await pressed
      process.stdout.write('released\n')
    }

    const emit: typeof hooks.emit = (event) => {
      hooks.emit(event)
      if (report && event.type === 'undo-finished') appendFileSync(report, `undo-finished ${event.ok}\n`)
    }

    return migrate(request, world, {...hooks, emit}, options)
  }
}

class RehearsedMigrate extends Migrate {
  static override id = 'table:migrate'
  protected override migrate = reporting(rehearse((process.env.REHEARSAL ?? 'succeeds') as Plot))

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
