import {join} from 'node:path'
import {systemClock} from '../../lib/clock.js'
import {type VerifyResult, type VerifyTables, verifyTables, type VerifyWorld} from '../../lib/migration/verify/run.js'
import {tcpTransport} from '../../lib/rpc/transport.js'
import {BaseCommand} from '../../lib/ui/base-command.js'
import {shellQuote} from '../../lib/shell-quote.js'
import {toVerifyRequest, verifyCommandFlags} from '../../lib/ui/verify-flags.js'
import {verifySession} from '../../lib/ui/verify-session.js'

export default class MigrateVerify extends BaseCommand {
  static override description = `Reads both sides and changes nothing on either. Works on a live table while a duplication ships: a difference is read
again until it is gone or proved to stay. Also works when the duplication is paused or gone, and says then what that
proves. docs/verify.md tells what is compared, what a difference means and what to do.

EXIT CODES
   0  the same, in all that was compared
   1  it could not be compared to the end
   2  wrong flags or arguments
   3  refused: no such table, not as many partitions, the copy is still being made
   4  not proved: rows were left open, or the time was over; the same command goes on from there
   5  different: a person must look, shipping will not mend it
   129, 130, 143  interrupted by SIGHUP, SIGINT or SIGTERM; the same command goes on from there`
  static override enableJsonFlag = true
  static override examples = [
    {
      command: '<%= config.bin %> <%= command.id %> -t users -c cluster-b -m 10.0.0.1:34601,10.0.0.2:34601',
      description: 'Compare every row:',
    },
    {
      command:
        '<%= config.bin %> <%= command.id %> -t users -c cluster-b -m 10.0.0.1:34601 --max-rows-per-second 20K --parallel 2',
      description: 'The same, gently:',
    },
  ]
  static override flags = verifyCommandFlags
  static override summary = 'Compare a table with its copy on another cluster.'

  /** What does the work; tests put their own in its place. */
  protected verify: VerifyTables = verifyTables

  async run(): Promise<VerifyResult> {
    const flags = await this.withNamedClusters(await this.parse(MigrateVerify))
    const {exitCode, result} = await verifySession(this.verify, {
      commandLine: [this.config.bin, 'table:migrate-verify', ...this.argv].map((word) => shellQuote(word)).join(' '),
      json: this.jsonEnabled(),
      quiet: flags.quiet,
      request: toVerifyRequest(flags),
      world: this.world(),
    })
    process.exitCode = exitCode
    return result
  }

  /** Where everything is; tests put their own in its place. */
  protected world(): VerifyWorld {
    return {
      clock: systemClock,
      random: Math.random,
      stateDirectory: join(this.config.dataDir, 'table-migrator'),
      transport: tcpTransport,
    }
  }
}
