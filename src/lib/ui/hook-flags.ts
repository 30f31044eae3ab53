import {Flags} from '@oclif/core'
import {DEFAULT_LIMIT_MS} from '../migration/operator-hooks/moments.js'
import type {MigrationRequest} from '../migration/request.js'
import {parseDuration} from './parse.js'

const duration = Flags.custom<number>({parse: async (input) => parseDuration(input)})

/** Executables of the operator's own. */
export const hookFlags = {
  'hook-dir': Flags.string({
    description:
      'Directory of executables that are run at certain moments, each named after its moment (docs/hooks.md).',
    env: 'PEGASUS_MIGRATE_HOOK_DIR',
    helpGroup: 'HOOKS',
    helpValue: 'DIR',
  }),
  'hooks-in-window': Flags.boolean({
    dependsOn: ['hook-dir'],
    description: 'Run the hooks drained and before-switch too, while writes are denied. They make that time longer.',
    env: 'PEGASUS_MIGRATE_HOOKS_IN_WINDOW',
    helpGroup: 'HOOKS',
  }),
  'hook-limit': duration({
    default: DEFAULT_LIMIT_MS,
    defaultHelp: async () => '30s',
    description: 'Longest time for one hook; while writes are denied a tenth of --max-write-deny at most.',
    env: 'PEGASUS_MIGRATE_HOOK_LIMIT',
    helpGroup: 'HOOKS',
    helpValue: 'DURATION',
  }),
}

export interface HookFlags {
  'hook-dir'?: string
  'hook-limit'?: number
  'hooks-in-window'?: boolean
}

export function toHooks(flags: HookFlags): Pick<MigrationRequest, 'hooks'> {
  if (flags['hook-dir'] === undefined) return {}
  return {hooks: {inWindow: flags['hooks-in-window'] ?? false, limitMs: flags['hook-limit'] ?? DEFAULT_LIMIT_MS}}
}
