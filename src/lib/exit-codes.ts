/** What a command's exit code tells. Documented in the README; tests compare both. */
export const ExitCode = {
  /** The command did what it was asked to do. */
  ok: 0,
  /** It failed; writes are allowed on exactly one side and nothing is half done. */
  failed: 1,
  /** Wrong flags or arguments; nothing was touched. */
  usage: 2,
  /** Refused by a precondition or by the operator; nothing was changed. */
  refused: 3,
  /** Stopped before the switch, writes allowed on the source; the same command goes on from there. */
  resumable: 4,
  /** A person must look: the output says what is so and the one command that mends it. */
  needsOperator: 5,
  /** Interrupted by SIGINT, SIGTERM or SIGHUP (128 + signal number); writes are allowed on exactly one side. */
  hangup: 129,
  interrupted: 130,
  terminated: 143,
} as const

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
