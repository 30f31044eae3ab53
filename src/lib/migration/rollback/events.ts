import type {Effect} from '../effects.js'
import type {Progress, UnstampedEvent} from '../events.js'

/** Every step that a rollback may need, in the order in which they run. */
export const stepTitles = {
  'allow-writes': 'Allow writes on the source',
  'prove-writes': 'Prove that the source accepts writes',
  'remove-duplication': 'Remove the duplication',
  'open-source-reads': "Open the source's rows for reading",
  'compare-live': 'Compare both sides',
  'deny-target': 'Deny writes on the target',
  'compare-denied': 'Compare both sides once more',
  'switch-back': 'Switch metaproxy back to the source',
  'open-source': 'Allow writes on the source',
  'close-target': "Send the target's clients away",
  'put-settings-back': 'Put settings back',
  'clean-target': "Clean the target's envs",
  'drop-target': "Drop the target's copy",
} as const

export type StepId = keyof typeof stepTitles

/** What a rollback tells while it works. `atMs`: wall clock, ms. */
export type RollbackEvent = {atMs: number} & (
  | {code: string; message: string; type: 'warning'}
  | {durationMs: number; step: StepId; summary: string; type: 'step-finished'}
  | {effect: Effect; sentence: string; state: 'begin' | 'done' | 'failed' | 'would'; type: 'effect'}
  | {error: string; step: StepId; type: 'step-failed'}
  | {progress: Progress; step: StepId; type: 'progress'}
  | {reason: string; step: StepId; type: 'step-skipped'}
  | {step: StepId; type: 'step-started'}
  | {steps: StepId[]; type: 'steps'}
)

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
export type UnstampedRollbackEvent = DistributiveOmit<RollbackEvent, 'atMs'>

/** What the parts that rollback shares with a migration tell, as events of the step that runs. */
export function translateEvent(event: UnstampedEvent, step: StepId | undefined): UnstampedRollbackEvent | undefined {
  if (event.type === 'effect' || event.type === 'warning') return event
  if (step === undefined) return undefined
  if (event.type === 'undo-progress') return {progress: {text: event.sentence}, step, type: 'progress'}
  if (event.type === 'progress') return {progress: event.progress, step, type: 'progress'}
  return undefined
}
