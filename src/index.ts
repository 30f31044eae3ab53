/** What `pegasus table:migrate --json` prints, and what its exit code tells; for programs that read them. */
export {ExitCode} from './lib/exit-codes.js'
export {phaseIds} from './lib/migration/events.js'
export type {MigrationEvent, PhaseId, Progress} from './lib/migration/events.js'
export type {CheckResult, Severity} from './lib/migration/preflight/check.js'
export type {MigrationResult, Outcome, PhaseTiming, WriteDenyWindow} from './lib/migration/result.js'
