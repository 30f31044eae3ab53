import {plain, shapeDifferences} from './shape.js'

/* Texts of remote commands: each kind is compared by what a reader of it depends on. */

/** Where the text of a remote command differs in what a reader depends on. */
export function textDifferences(command: string, golden: string, actual: string): string[] {
  if (command === 'help') return helpDifferences(golden, actual)
  // Figures of memory and rates: nothing reads them, and no simulated server has them.
  if (command === 'server-stat') return actual === '' ? ['server-stat: empty'] : []
  if (command.startsWith('perf-counters')) {
    const [a, b] = [JSON.parse(golden), JSON.parse(actual)] as Array<{timestamp: number}>
    const zero = (a!.timestamp === 0) === (b!.timestamp === 0) ? [] : ['timestamp: 0 or not differs']
    return [...zero, ...shapeDifferences(a, b)]
  }

  if (command.startsWith('replica.')) return replicaLines(golden, actual)
  return plain(golden) === plain(actual) ? [] : [`"${golden}" is "${actual}"`]
}

const commandNames = (text: string) => text.split('\n').map((line) => line.split(/[ |]/)[0]!)

/** Everything that the sandbox offers must exist on a real server. */
function helpDifferences(golden: string, actual: string): string[] {
  const known = new Set(commandNames(golden))
  return commandNames(actual)
    .filter((name) => !known.has(name))
    .map((name) => `help names ${name}, real servers do not`)
}

/** `N processed, M not found`, then a block per replica; JSON in the blocks of query-progress. */
function replicaLines(golden: string, actual: string): string[] {
  const [a, b] = [blocks(golden), blocks(actual)]
  if (a.head !== b.head) return [`first line "${a.head}" is "${b.head}"`]
  return ['P', 'S'].flatMap((role) => {
    const [x, y] = [a.byRole.get(role), b.byRole.get(role)]
    if (x === undefined || y === undefined) return []
    return x.startsWith('{')
      ? shapeDifferences(JSON.parse(x), JSON.parse(y), role)
      : plain(x) === plain(y)
        ? []
        : [`"${x}" is "${y}"`]
  })
}

function blocks(text: string): {byRole: Map<string, string>; head: string} {
  const [head = '', ...rest] = text.split(/\n {4}(?=\d+\.\d+@)/)
  const byRole = new Map<string, string>()
  for (const block of rest) {
    const match = /^\d+\.\d+@\S+@([PS]) : ([^]*)$/.exec(block)
    if (!match) throw new Error(`not a replica's line: ${block}`)
    // The richest one: a primary with a duplication says more than others.
    if (match[2]!.length > (byRole.get(match[1]!)?.length ?? -1)) byRole.set(match[1]!, match[2]!)
  }

  return {byRole, head: plain(head)}
}
