import {Flags} from '@oclif/core'
import {type CutoverWindow, windowLengthMs} from '../migration/cutover-window.js'
import type {MigrationRequest} from '../migration/request.js'
import {usage} from './named-clusters.js'
import {parseCutoverWindow} from './parse.js'

const window = Flags.custom<CutoverWindow>({parse: async (input) => parseCutoverWindow(input)})

/** When the cutover may take place. */
export const holdFlags = {
  hold: Flags.boolean({
    description:
      'Stay caught up before the cutover until you press c, or run table:migrate-release. The lag is shown meanwhile.',
    env: 'PEGASUS_MIGRATE_HOLD',
    helpGroup: 'CUTOVER',
  }),
  'hold-file': Flags.string({
    description: 'Hold as --hold does, or until this file is gone. It is made when it is not there.',
    env: 'PEGASUS_MIGRATE_HOLD_FILE',
    helpGroup: 'CUTOVER',
    helpValue: 'FILE',
  }),
  'cutover-window': window({
    description:
      'Hours in which the cutover may take place, local time; stays caught up until then, and begins none that may not end within them.',
    env: 'PEGASUS_MIGRATE_CUTOVER_WINDOW',
    helpGroup: 'CUTOVER',
    helpValue: 'HH:MM-HH:MM',
  }),
}

export interface HoldFlags {
  'cutover-window'?: CutoverWindow
  hold?: boolean
  'hold-file'?: string
  'max-write-deny': number
}

/** @throws MigratorError `usage` */
export function toHold(flags: HoldFlags): Pick<MigrationRequest, 'cutoverWindow' | 'hold'> {
  const {'cutover-window': cutoverWindow, hold, 'hold-file': file, 'max-write-deny': maxWriteDenyMs} = flags
  if (cutoverWindow && windowLengthMs(cutoverWindow) < maxWriteDenyMs)
    throw usage('--cutover-window is shorter than --max-write-deny: no cutover is sure to end within it')
  return {
    ...(cutoverWindow ? {cutoverWindow} : {}),
    ...(hold || file !== undefined ? {hold: file === undefined ? {} : {file}} : {}),
  }
}
