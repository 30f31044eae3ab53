import {join} from 'node:path'
import {systemClock} from '../../lib/clock.js'
import {rollback, type RollbackResult, type RollbackWorld} from '../../lib/migration/rollback/index.js'
import {tcpTransport} from '../../lib/rpc/transport.js'
import {BaseCommand} from '../../lib/ui/base-command.js'
import {rollbackFlags, toRollbackRequest} from '../../lib/ui/rollback-flags.js'
import {RollbackSession} from '../../lib/ui/rollback-session.js'
import {shellQuote} from '../../lib/shell-quote.js'

export default class MigrateRollback extends BaseCommand {
  static override description = `take a migration back, from whatever state it was left in

First writes: a write-deny that was left behind is taken off the source and that is proved on every server. Then the
duplication, where it can be removed safely, then the settings. The target's copy is kept unless --drop-target. After
the switch this is a return: only if it loses nothing. Safe to run twice, from any machine. docs/rollback.md tells more.

EXIT CODES
   0  taken back, or back on the source
   1  it failed; writes are allowed on exactly one side
   2  wrong flags or arguments; nothing was touched
   3  refused by a precondition or by the operator; everything is as it was found
   4  writes are allowed on exactly one side, but something is left (such as the duplication of a busy table)
   5  writes may be denied: the output says why, and the same command goes on
   129, 130, 143  interrupted by SIGHUP, SIGINT or SIGTERM; writes are allowed on exactly one side

A ZooKeeper login is read from the environment variable PEGASUS_ZK_AUTH=digest:user:password.`
  static override enableJsonFlag = true
  static override examples = [
    {command: '<%= config.bin %> <%= command.id %> -t users', description: 'Take back what this machine began:'},
    {
      command: '<%= config.bin %> <%= command.id %> -t users -r /pegasus-metaproxy --adopt',
      description: 'Lift a write-deny that another tool or machine left behind:',
    },
    {
      command: '<%= config.bin %> <%= command.id %> -t users -c cluster-b --brief-deny --drop-target',
      description: 'Remove everything, on a table that is being written to:',
    },
  ]
  static override flags = rollbackFlags
  static override summary = 'Take a migration back, from whatever state it was left in.'

  /** What does the work; tests put their own in its place. */
  protected rollback: typeof rollback = rollback

  async run(): Promise<RollbackResult> {
    const world = this.world()
    const named = await this.withNamedClusters(await this.parse(MigrateRollback))
    const flags = await this.withKnownSource(named, world, named.quiet)
    const commandLine = [this.config.bin, 'table:migrate-rollback', ...this.argv]
      .map((word) => shellQuote(word))
      .join(' ')
    const session = new RollbackSession(this.rollback, {
      commandLine,
      confirmed: flags.confirm,
      dryRun: flags['dry-run'],
      json: this.jsonEnabled(),
      quiet: flags.quiet,
      request: toRollbackRequest(flags, process.env.PEGASUS_ZK_AUTH),
      world: {...world, command: commandLine},
      yes: flags.yes,
    })
    const {exitCode, result} = await session.run()
    process.exitCode = exitCode
    return result
  }

  /** Where everything is; tests put their own in its place. */
  protected world(): RollbackWorld {
    return {
      clock: systemClock,
      journalDirectory: join(this.config.dataDir, 'table-migrator'),
      random: Math.random,
      transport: tcpTransport,
    }
  }
}
