import {join} from 'node:path'
import {systemClock} from '../../lib/clock.js'
import {exitCodeOfLevel, StatusReader, type StatusReport, type StatusWorld} from '../../lib/migration/status/index.js'
import {tcpTransport} from '../../lib/rpc/transport.js'
import {BaseCommand} from '../../lib/ui/base-command.js'
import {statusLines} from '../../lib/ui/status.js'
import {statusFlags, toStatusQuery} from '../../lib/ui/status-flags.js'
import {watchUntilInterrupted} from '../../lib/ui/status-watch.js'

export default class MigrateStatus extends BaseCommand {
  static override description = `show where the migration of a table stands

Reads both clusters, ZooKeeper and this machine's journal; changes nothing and sends no write. Names the state, what it
means, where the journal says something else, and the one next command. docs/status.md lists the states.

EXIT CODES
   0  idle or finished (with --watch: ended by Ctrl-C)
   1  it could not be found out
   2  wrong flags or arguments
   4  in progress: it goes on by itself, or with the same table:migrate
   5  a person must look: the output says what is so and the one command that mends it`
  static override enableJsonFlag = true
  static override examples = [
    {command: '<%= config.bin %> <%= command.id %> -t users', description: 'One table, everything about it:'},
    {command: '<%= config.bin %> <%= command.id %> -t users --watch', description: 'Look on:'},
    {
      command: '<%= config.bin %> <%= command.id %>',
      description: 'Every table that is being migrated, duplicated or denied:',
    },
  ]
  static override flags = statusFlags
  static override summary = 'Show where the migration of a table stands.'

  /** Where everything is; tests put their own in its place. */
  protected world(): StatusWorld {
    return {
      clock: systemClock,
      journalDirectory: join(this.config.dataDir, 'table-migrator'),
      random: Math.random,
      transport: tcpTransport,
    }
  }

  async run(): Promise<StatusReport | undefined> {
    const world = this.world()
    const flags = await this.withKnownSource(await this.withNamedClusters(await this.parse(MigrateStatus)), world)
    const reader = new StatusReader(toStatusQuery(flags, process.env.PEGASUS_ZK_AUTH), world)
    const lines = (report: StatusReport) =>
      statusLines(report, flags.table !== undefined, Math.max(40, Math.min(process.stdout.columns || 100, 120)))
    try {
      if (flags.watch) {
        await watchUntilInterrupted({
          clock: world.clock,
          lines,
          output: process.stdout,
          read: (signal) => reader.read(signal),
        })
        return undefined
      }

      const report = await reader.read()
      process.exitCode = exitCodeOfLevel(report.level)
      if (!this.jsonEnabled()) for (const line of lines(report)) this.log(line)
      return report
    } finally {
      await reader.close()
    }
  }
}
