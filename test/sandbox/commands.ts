import type {SimulatedProcess} from './process.js'
import {formatTime} from './world.js'

/* Remote commands that every server has (protocol.md §7.1). */

export type Command = (args: string[]) => string

const HELP: Record<string, string> = {
  'config-dump': 'dump configuration',
  engine: 'get engine internal information',
  'flush-log': 'flush log to stderr or log file',
  'perf-counters': 'query perf counters, filtered by OR of POSIX basic regular expressions',
  'perf-counters-by-postfix': 'query perf counters, filtered by OR of postfix strings',
  'perf-counters-by-prefix': 'query perf counters, filtered by OR of prefix strings',
  'perf-counters-by-substr': 'query perf counters, filtered by OR of substrs',
  'server-info': 'query server information',
  'server-stat': 'query selected perf counters',
}

export interface CounterText {
  (wanted: (name: string) => boolean): string
}

/** The commands that metas and replica servers share. `counters` gives the text of the perf-counters commands. */
export function commonCommands(server: SimulatedProcess, counters: CounterText): Map<string, Command> {
  const {gitCommit, isMaster, version} = server.cluster.spec.traits
  const any = (args: string[], test: (name: string, arg: string) => boolean) =>
    counters((name) => args.length === 0 || args.some((arg) => test(name, arg)))
  return new Map<string, Command>([
    // With an argument a real server writes the dump into a file of its own: never done here.
    ['config-dump', (args) => (args.length === 0 ? server.config.dump() : '')],
    ['engine', () => '{}'],
    ['flush-log', () => 'Flush done.'],
    ['perf-counters', (args) => any(args, (name, arg) => new RegExp(arg).test(name))],
    ['perf-counters-by-postfix', (args) => any(args, (name, arg) => name.endsWith(arg))],
    ['perf-counters-by-prefix', (args) => any(args, (name, arg) => name.startsWith(arg))],
    ['perf-counters-by-substr', (args) => any(args, (name, arg) => name.includes(arg))],
    [
      'server-info',
      () => {
        const started = formatTime(server.startedWallMs)
        return isMaster
          ? JSON.stringify({build_type: 'Release', git_SHA: gitCommit, start_time: started, version})
          : `Pegasus Server ${version} (${gitCommit}) Release, Started at ${started}`
      },
    ],
    ['server-stat', () => 'memused_res(MB)=39, memused_virt(MB)=392, get_qps=0, put_qps=0'],
  ])
}

/** Runs a command, or says that there is none: both are a success of the RPC. */
export function runCommand(
  commands: Map<string, Command>,
  help: Record<string, string>,
  cmd: string,
  args: string[],
): string {
  if (/^(help|h|H|Help)$/.test(cmd)) {
    const lines = [...commands.keys()].sort().map((name) => `${name} - ${HELP[name] ?? help[name] ?? name}`)
    return `help|Help|h|H [command] - display help information\n${lines.join('\n')}\n`
  }

  return commands.get(cmd)?.(args) ?? `unknown command '${cmd}'`
}
