import {join} from 'node:path'
import {type Released, releaseHeld} from '../../lib/migration/hold-desk.js'
import {BaseCommand} from '../../lib/ui/base-command.js'
import {sourceFlags} from '../../lib/ui/flags.js'
import {formatTimeOfDay, printable} from '../../lib/ui/text.js'

/** What `--json` prints. Times: wall clock, ms since 1970. */
export interface ReleaseResult {
  released: Released[]
  schema: 1
}

export default class MigrateRelease extends BaseCommand {
  static override description = `Tells a table:migrate that is held (--hold, --hold-file) on this machine to cut over now. It works through the
directory of the journals, so it must run on the same machine as the same user. docs/hold.md tells more.

EXIT CODES
   0  released: the cutover begins within a second or two, or when its window opens
   1  it failed; nothing was released
   2  wrong flags or arguments
   3  refused: no migration of the table is held on this machine`
  static override enableJsonFlag = true
  static override examples = [
    {command: '<%= config.bin %> <%= command.id %> -t users', description: 'Let the held migration of users cut over:'},
  ]
  static override flags = {
    table: {...sourceFlags.table, description: 'Table whose held migration is to cut over.'},
  }
  static override summary = 'Let a held migration cut over now.'

  async run(): Promise<ReleaseResult> {
    const {flags} = await this.parse(MigrateRelease)
    const released = await releaseHeld(flags.table as string, {directory: this.journalDirectory})
    for (const {heldSinceMs, table, targetCluster} of released) {
      this.log(
        printable(
          `Released: ${table} to ${targetCluster}, held since ${formatTimeOfDay(heldSinceMs)}; it cuts over now.`,
        ),
      )
    }

    return {released, schema: 1}
  }

  /** Where the journals are; tests put their own in its place. */
  protected get journalDirectory(): string {
    return join(this.config.dataDir, 'table-migrator')
  }
}
