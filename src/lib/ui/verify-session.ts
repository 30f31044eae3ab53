import {writeSync} from 'node:fs'
import {messageOf} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import type {VerifyRequest, VerifyResult, VerifyTables, VerifyWorld} from '../migration/verify/run.js'
import {outliveTerminal} from './lost-terminal.js'
import {type SignalActions, SignalWatch} from './signals.js'
import {widthOf} from './text.js'
import {newVerifyRenderer} from './verify-renderer.js'
import {verifyExitCode, verifySummaryLines} from './verify-summary.js'

export interface VerifySessionOptions {
  /** The command line that was given, quoted for a shell. */
  commandLine: string
  json: boolean
  quiet?: boolean
  request: VerifyRequest
  world: VerifyWorld
}

/** One run of `table:migrate-verify` in front of a person or a log: shows it and hears signals. */
export async function verifySession(
  verify: VerifyTables,
  {commandLine, json, quiet = false, request, world}: VerifySessionOptions,
): Promise<{exitCode: ExitCode; result: VerifyResult}> {
  outliveTerminal([process.stdout, process.stderr])
  const renderer = newVerifyRenderer({
    clock: world.clock,
    isStopping: () => signals.first !== undefined,
    json: json || quiet,
    table: request.table,
  })
  const actions: SignalActions = {
    // eslint-disable-next-line n/no-process-exit, unicorn/no-process-exit -- the second signal asks for just that
    exit: (code) => process.exit(code),
    onCrash: (error) => renderer.notice(`an error that nobody caught, stopping: ${messageOf(error)}`),
    onFirst: (signal) =>
      renderer.notice(`${signal}: stopping; what was compared is kept. A second one leaves at once.`),
    onSecond: (signal) =>
      writeSync(
        2,
        `\u001B[?25h\n${signal} again: leaving at once. Nothing was changed on either side. To compare, run:\n  ${commandLine}\n`,
      ),
    onSuspend: () =>
      renderer.notice('Ctrl-Z is not obeyed: scans would time out. Ctrl-C stops it, and it can be gone on from.'),
  }
  const signals = new SignalWatch(process, actions, {next: commandLine, state: 'nothing was changed on either side'})
  let result: VerifyResult | undefined
  try {
    result = await verify(
      request,
      world,
      {emit: (event) => renderer.onEvent(event)},
      {signal: signals.controller.signal},
    )
  } finally {
    await renderer.stop(result)
    signals.dispose()
  }

  const exitCode = verifyExitCode(result, signals.first)
  if (!json) {
    const width = widthOf(process.stdout)
    const stream = exitCode === ExitCode.ok ? process.stdout : process.stderr
    const lines = verifySummaryLines(result, commandLine, width)
    stream.write(`${(quiet && exitCode === ExitCode.ok ? lines.slice(0, 1) : lines).join('\n')}\n`)
  }

  return {exitCode, result}
}
