import type {MigrationEvent} from '../migration/events.js'
import type {MigrationResult} from '../migration/result.js'
import {Silent} from './plain-lines.js'

/** Shows a run while it goes on. */
export interface Renderer {
  /** Says something that is no event of the migration, such as what a signal will do. */
  notice(text: string): void
  onEvent(event: MigrationEvent): void
  /** Runs `interlude` while nothing is drawn; only in there may anybody else write to the terminal or ask. */
  pause<T>(interlude: () => Promise<T>): Promise<T>
  start(): void
  /** Leaves the terminal as it was found. `result`: how the run ended, unless it broke. */
  stop(result?: MigrationResult): Promise<void>
}

export type RendererKind = 'list' | 'plain' | 'silent'

/** The task list needs a terminal that moves its cursor; everything else gets lines. */
export function chooseRenderer(options: {
  env: NodeJS.ProcessEnv
  json: boolean
  /** Nothing but warnings, questions and the outcome. */
  quiet?: boolean
  stdout: {columns?: number; isTTY?: boolean}
}): RendererKind {
  const {env, json, quiet, stdout} = options
  if (json || quiet) return 'silent'
  const inCi = Boolean(env.CI) && env.CI !== 'false' && env.CI !== '0'
  // Some pseudo terminals say that they are 0 columns wide; a list would put one letter on each line.
  const wideEnough = (stdout.columns ?? 0) >= 40
  return stdout.isTTY && wideEnough && env.TERM !== 'dumb' && !inCi ? 'list' : 'plain'
}

/** For `--json`: the result holds everything. */
export class SilentRenderer extends Silent implements Renderer {
  onEvent(): void {
    // The result holds everything that --json prints.
  }

  pause<T>(interlude: () => Promise<T>): Promise<T> {
    return interlude()
  }

  start(): void {
    // Nothing to draw.
  }
}
