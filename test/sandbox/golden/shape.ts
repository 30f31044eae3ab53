/* Compares what a simulated server answered with what a real one did: the same fields, the same kinds, the same errors. */

/** Fields whose values must be equal, not only alike. */
const EQUAL = new Set(['err', 'error', 'failMode', 'maxReplicaCount', 'oldLevel', 'partitionCount', 'status'])
/** Numbers whose being zero means something. */
const ZERO_MATTERS = new Set(['appId', 'dupid'])

/** Where two decoded answers differ in shape; empty when they do not. */
export function shapeDifferences(golden: unknown, actual: unknown, path = ''): string[] {
  const key = path.slice(path.lastIndexOf('.') + 1)
  const differ = (what: string) => [`${path || 'answer'}: ${what}`]
  if (kindOf(golden) !== kindOf(actual)) return differ(`${kindOf(golden)} is ${kindOf(actual)}`)
  // Which replica a list of replicas begins with is chance.
  const byChance = path.includes('replicas[')
  if (!byChance && EQUAL.has(key) && typeof golden !== 'object' && golden !== actual)
    return differ(`${String(golden)} is ${String(actual)}`)
  if (typeof golden === 'boolean') return golden === actual ? [] : differ(`${golden} is ${String(actual)}`)
  if (typeof golden === 'number' || typeof golden === 'bigint') {
    const special = (v: unknown) =>
      v === -1 || v === -1n ? 'none' : ZERO_MATTERS.has(key) && v === 0 ? 'zero' : 'some'
    const same = special(golden) === special(actual) && (key !== 'contextId' || (golden === 0n) === (actual === 0n))
    return same ? [] : differ(`${golden} is ${String(actual)}`)
  }

  if (typeof golden === 'string') {
    return key === 'hint' && plain(golden) !== plain(actual as string)
      ? differ(`"${golden}" is "${String(actual)}"`)
      : []
  }

  if (Buffer.isBuffer(golden)) {
    return (golden.length === 0) === ((actual as Buffer).length === 0) ? [] : differ('emptiness differs')
  }

  if (Array.isArray(golden)) return listDifferences(golden, actual as unknown[], path)
  if (golden instanceof Map) return mapDifferences(golden, actual as Map<unknown, unknown>, path)
  if (golden && typeof golden === 'object') return objectDifferences(golden, actual as object, path)
  return []
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'list'
  if (Buffer.isBuffer(value)) return 'bytes'
  return value instanceof Map ? 'map' : typeof value
}

/** Texts with what belongs to one bed only taken out: ids, ports, times, commits. */
export function plain(text: string): string {
  return text
    .replaceAll(/\b[\da-f]{40}\b/g, '<commit>')
    .replaceAll(/(127\.0\.0\.1|localhost):\d+/g, '<server>')
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, '<time>')
    .replaceAll(/\b\d+\b/g, 'N')
}

function nameOf(item: unknown): string | undefined {
  return item && typeof item === 'object' && 'appName' in item ? String(item.appName) : undefined
}

function listDifferences(golden: unknown[], actual: unknown[], path: string): string[] {
  // Tables are compared by name; other tables of the real bed are none of ours.
  if (golden.some((item) => nameOf(item) !== undefined)) {
    return actual.flatMap((item) => {
      // Tables that only filled the real bed were in other states there.
      if (!/^(at|gt)/.test(nameOf(item) ?? '')) return []
      const like = golden.findLast((g) => nameOf(g) === nameOf(item))
      return like === undefined ? [] : shapeDifferences(like, item, `${path}[${nameOf(item)}]`)
    })
  }

  if ((golden.length === 0) !== (actual.length === 0))
    return [`${path}: ${golden.length} elements are ${actual.length}`]
  return golden.length === 0 ? [] : shapeDifferences(golden[0], actual[0], `${path}[0]`)
}

function mapDifferences(golden: Map<unknown, unknown>, actual: Map<unknown, unknown>, path: string): string[] {
  const shared = [...golden.keys()].filter((key) => actual.has(key))
  if ((golden.size === 0) !== (actual.size === 0)) return [`${path}: ${golden.size} entries are ${actual.size}`]
  const firsts =
    shared.length > 0
      ? shared.map((key) => [golden.get(key), actual.get(key)])
      : [[[...golden.values()][0], [...actual.values()][0]]]
  return golden.size === 0 ? [] : firsts.flatMap(([a, b]) => shapeDifferences(a, b, `${path}{}`))
}

function objectDifferences(golden: object, actual: object, path: string): string[] {
  const wanted = Object.entries(golden).filter(([, v]) => v !== undefined)
  const found = new Map(Object.entries(actual).filter(([, v]) => v !== undefined))
  const extra = [...found.keys()].filter((key) => !wanted.some(([k]) => k === key))
  return [
    ...extra.map((key) => `${path}.${key}: not in the golden answer`),
    ...wanted.flatMap(([key, value]) =>
      found.has(key) ? shapeDifferences(value, found.get(key), `${path}.${key}`) : [`${path}.${key}: missing`],
    ),
  ]
}
