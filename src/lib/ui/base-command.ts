import {Command, Errors} from '@oclif/core'
import {isMigratorError, messageOf, MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import {type JournalPlace, withKnownSource} from './known-source.js'
import {type ParsedFlags, withNamedClusters} from './named-clusters.js'
import {jsonText, printable, printableLines} from './text.js'

/** What `--json` prints when there is no result: the command could not even begin, or broke. */
export interface ErrorDocument {
  error: {code: string; exit: number; facts: Record<string, boolean | number | string | undefined>; message: string}
  schema: 1
}

type OclifError = Error & {oclif?: {exit?: number}}

/** oclif wraps what a flag's parser throws into lines of its own. */
function unwrap(message: string): string {
  return message.replace(/^Parsing (--\S+) \n\t/, '$1: ').replace(/\n?See more help with --help$/, '')
}

function exitOf(error: Error): number {
  if (isMigratorError(error)) return error.exitCode
  return (error as OclifError).oclif?.exit ?? ExitCode.failed
}

/** Everything that could steer a terminal; line ends and colours stay. */
function escaped(text: string): string {
  // eslint-disable-next-line no-control-regex -- colours of oclif
  const parts = text.split(/(\u001B\[[\d;]*m|\n)/)
  return parts.map((part, index) => (index % 2 === 1 ? part : printable(part))).join('')
}

/** Gives every failure the same exit code in text and in JSON, and escapes what servers and users have said. */
export abstract class BaseCommand extends Command {
  /** The flags with what the clusters file says of --from and --to (docs/clusters-file.md). @throws MigratorError */
  protected withNamedClusters<F extends Parameters<typeof withNamedClusters>[0]['flags']>(
    parsed: ParsedFlags<F>,
  ): Promise<F> {
    return withNamedClusters(parsed, this.config.configDir, Object.keys(this.ctor.flags))
  }

  /** The flags with the source's metas, where this machine's journal of the table must tell them. @throws MigratorError */
  protected withKnownSource<F extends Parameters<typeof withKnownSource>[0]>(
    flags: F,
    place: JournalPlace,
    quiet = false,
  ): Promise<F> {
    return withKnownSource(flags, place, (line) => {
      if (!quiet && !this.jsonEnabled()) this.logToStderr(printable(line))
    })
  }

  protected override async catch(error: Error): Promise<void> {
    process.exitCode = exitOf(error)
    if (this.jsonEnabled()) return super.catch(error)
    if (!isMigratorError(error)) {
      // oclif's own: they quote what was typed, or what an environment variable held.
      error.message = escaped(error.message)
      return super.catch(error)
    }

    const {code, facts, next} = error
    const known = Object.entries(facts).filter(([, value]) => value !== undefined)
    const text = [unwrap(error.message), ...known.map(([key, value]) => `  ${key}: ${String(value)}`)].join('\n')
    const shown = new Errors.CLIError(printableLines(text).join('\n'), {
      code,
      exit: exitOf(error),
      ...(next ? {suggestions: [printableLines(next).join('\n')]} : {}),
    })
    return super.catch(shown)
  }

  /** JSON leaves marks of direction and the controls above 127 as they are: a terminal obeys them. */
  override logJson(json: unknown): void {
    process.stdout.write(`${jsonText(json)}\n`)
  }

  protected override toErrorJson(thrown: unknown): ErrorDocument {
    const error = thrown instanceof Error ? thrown : new Error(messageOf(thrown))
    const ours = error instanceof MigratorError ? error : undefined
    const exit = exitOf(error)
    const code = ours?.code ?? (exit === ExitCode.usage ? 'usage' : 'internal')
    return {error: {code, exit, facts: ours?.facts ?? {}, message: unwrap(error.message)}, schema: 1}
  }
}
