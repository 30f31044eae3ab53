import {join} from 'node:path'
import {type Clock, systemClock} from '../../lib/clock.js'
import {
  migrate,
  type Migrate as MigrateTable,
  type MigrationResult,
  type MigrationWorld,
  startGuardProcess,
} from '../../lib/migration/index.js'
import {HookDirectory} from '../../lib/migration/operator-hooks/directory.js'
import {tcpTransport} from '../../lib/rpc/transport.js'
import {BaseCommand} from '../../lib/ui/base-command.js'
import {
  cutoverFlags,
  limitFlags,
  metaproxyFlags,
  runFlags,
  sourceFlags,
  targetFlags,
  verifyFlags,
} from '../../lib/ui/flags.js'
import {namedClusterFlags} from '../../lib/ui/named-clusters.js'
import {hookFlags} from '../../lib/ui/hook-flags.js'
import {holdFlags} from '../../lib/ui/hold-flags.js'
import {reportFlags} from '../../lib/ui/report/flags.js'
import {toRequest} from '../../lib/ui/request.js'
import {Session} from '../../lib/ui/session.js'
import {shellQuote} from '../../lib/shell-quote.js'
import {printable} from '../../lib/ui/text.js'

export default class Migrate extends BaseCommand {
  static override description = `Copies the table by Pegasus' own duplication, waits until the target has caught up, denies writes for some seconds,
proves that everything accepted is on the target, and switches metaproxy to it. Run the same command again to go on
from where a run was stopped. Ctrl-C stops it at any second; before the switch, writes are allowed again.

EXIT CODES
   0  it did what it was asked to do
   1  it failed; writes are allowed on exactly one side and nothing is half done
   2  wrong flags or arguments; nothing was touched
   3  refused by a precondition or by the operator; nothing was changed
   4  stopped before the switch, writes allowed on the source; the same command goes on from there
   5  a person must look: the output says what is so and the one command that mends it
   129, 130, 143  interrupted by SIGHUP, SIGINT or SIGTERM; writes are allowed on exactly one side

A ZooKeeper login is read from the environment variable PEGASUS_ZK_AUTH=digest:user:password.`
  static override enableJsonFlag = true
  static override examples = [
    {
      command:
        '<%= config.bin %> <%= command.id %> -t users -c cluster-b -m 10.0.0.1:34601,10.0.0.2:34601 -r /pegasus-metaproxy --dry-run',
      description: 'Check everything and see what would be done:',
    },
    {
      command:
        '<%= config.bin %> <%= command.id %> -t users -c cluster-b -m 10.0.0.1:34601,10.0.0.2:34601 -r /pegasus-metaproxy --proxy 10.0.0.9:34601',
      description: 'Move the table and switch metaproxy:',
    },
    {
      command: '<%= config.bin %> <%= command.id %> -t users --from beijing --to shanghai',
      description: 'The same between clusters that the clusters file names:',
    },
  ]
  static override flags = {
    ...sourceFlags,
    ...targetFlags,
    ...namedClusterFlags,
    ...metaproxyFlags,
    ...cutoverFlags,
    ...holdFlags,
    ...hookFlags,
    ...verifyFlags,
    ...runFlags,
    ...reportFlags,
    ...limitFlags,
  }
  static override summary = 'Move a table to another cluster while applications go on using it.'

  /** What does the work; tests put their own in its place. */
  protected migrate: MigrateTable = migrate

  async run(): Promise<MigrationResult> {
    const flags = await this.withNamedClusters(await this.parse(Migrate))
    const commandLine = [this.config.bin, 'table:migrate', ...this.argv].map((word) => shellQuote(word)).join(' ')
    const world = this.world()
    const operatorHooks = await this.openHooks(flags['hook-dir'], world.clock)
    const session = new Session(this.migrate, {
      commandLine,
      dryRun: flags['dry-run'],
      json: this.jsonEnabled(),
      quiet: flags.quiet,
      report: flags.report,
      request: toRequest(flags, process.env.PEGASUS_ZK_AUTH),
      world: {
        ...world,
        command: commandLine,
        ...(flags.guard ? {startGuard: startGuardProcess} : {}),
        ...(operatorHooks ? {operatorHooks} : {}),
      },
      tool: {name: this.config.pjson.name, version: this.config.pjson.version},
      yes: flags.yes,
    })
    const {exitCode, result} = await session.run()
    process.exitCode = exitCode
    return result
  }

  private async openHooks(directory: string | undefined, clock: Clock): Promise<HookDirectory | undefined> {
    if (directory === undefined) return undefined
    const hooks = await HookDirectory.open(directory, clock)
    for (const name of hooks.others)
      this.warn(printable(`${name} in ${hooks.path} is never run: there is no moment of that name`))
    return hooks
  }

  protected world(): MigrationWorld {
    return {
      clock: systemClock,
      journalDirectory: join(this.config.dataDir, 'table-migrator'),
      random: Math.random,
      transport: tcpTransport,
    }
  }
}
