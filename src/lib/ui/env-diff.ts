import {describeEnvDifference, type EnvDifference, mendingCommand} from '../migration/env-diff.js'
import type {MigrationResult} from '../migration/result.js'
import {paragraph, plural, printable} from './text.js'

/** For the plan: what the target's settings will be, or are. */
export function envSentences({plan}: Pick<MigrationResult, 'plan'>): string[] {
  const differences = plan?.envDifferences
  if (differences === undefined) return []
  if (differences.length === 0) return ["The table's settings (envs) are the same on both sides."]
  return [
    `The table's settings (envs) differ, and each side keeps its own: ${differences.map((one) => describeEnvDifference(one)).join('; ')}.`,
  ]
}

/** For the end: what differed at the cutover, and how to mend it. */
export function envLines({envDifferences, table, target}: MigrationResult, width: number): string[] {
  if (!envDifferences || envDifferences.length === 0) return []
  const what = `${plural(envDifferences.length, 'setting')} of ${table} ${envDifferences.length === 1 ? 'was' : 'were'} not the same on both sides at the cutover. To make the target's like the source's, in the Pegasus shell on ${target.cluster}, after "use ${table}":`
  return [
    '',
    ...paragraph(what, '', width),
    ...envDifferences.flatMap((one: EnvDifference) => [
      ...paragraph(describeEnvDifference(one), '    ', width, '  - '),
      printable(`      ${mendingCommand(one)}`),
    ]),
  ]
}
