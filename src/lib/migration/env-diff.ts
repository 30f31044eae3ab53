import {DENY_ENV} from './effects-live.js'

/** One of the table's settings (envs) that is not the same on both sides; absent: not set there. */
export interface EnvDifference {
  key: string
  source?: string
  target?: string
}

/** What differs by design (the deny, what a follower is told), and orders that were carried out once. */
const ownEnvs = [/^duplication\./, /^manual_compact\.once\./]

/**
 * The target is made with the source's envs; whatever was set since, on one side only, acts on that side only: throttling,
 * compaction rules, access control, expiry.
 */
export function envDifferences(
  source: ReadonlyMap<string, string>,
  target: ReadonlyMap<string, string>,
): EnvDifference[] {
  const keys = [...new Set([...source.keys(), ...target.keys()])].sort()
  return keys
    .filter((key) => key !== DENY_ENV && !ownEnvs.some((pattern) => pattern.test(key)))
    .filter((key) => source.get(key) !== target.get(key))
    .map((key) => {
      const [here, there] = [source.get(key), target.get(key)]
      return {key, ...(here === undefined ? {} : {source: here}), ...(there === undefined ? {} : {target: there})}
    })
}

/** Policies may be long. */
const LONGEST_SHOWN = 80

/** `default_ttl: 86400 on the source, not set on the target` */
export function describeEnvDifference({key, source, target}: EnvDifference): string {
  return `${key}: ${valueOn(source, 'source')}, ${valueOn(target, 'target')}`
}

function valueOn(value: string | undefined, side: string): string {
  if (value === undefined) return `not set on the ${side}`
  const shown = value.length > LONGEST_SHOWN ? `${value.slice(0, LONGEST_SHOWN)}… (${value.length} characters)` : value
  return `${shown} on the ${side}`
}

/** What makes the target's like the source's, in Pegasus' own shell. */
export function mendingCommand({key, source}: EnvDifference): string {
  return source === undefined ? `del_app_envs ${key}` : `set_app_envs ${key} ${source}`
}
