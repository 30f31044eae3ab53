import {fileURLToPath} from 'node:url'
import {Config, type Interfaces} from '@oclif/core'
import {captureOutput} from '@oclif/test'

export interface CommandRun {
  /** What the command left as the process's exit code, or what its error asks for. */
  code: number | string | undefined
  error?: Error & {oclif?: {exit?: number}}
  stderr: string
  stdout: string
}

/** Runs a command in this process, without a terminal. */
export async function runCommand(
  command: {run(argv: string[], config: Interfaces.LoadOptions): Promise<unknown>},
  argv: string[],
  env: Record<string, string> = {},
): Promise<CommandRun> {
  const config = await Config.load({root: fileURLToPath(new URL('../..', import.meta.url))})
  const before = {...process.env}
  Object.assign(process.env, env)
  try {
    const {error, stderr, stdout} = await captureOutput(() => command.run(argv, config), {testNodeEnv: 'production'})
    const code = process.exitCode ?? (error as CommandRun['error'])?.oclif?.exit
    return {code, ...(error ? {error} : {}), stderr, stdout}
  } finally {
    process.exitCode = undefined
    for (const key of Object.keys(env)) delete process.env[key]
    Object.assign(process.env, before)
  }
}
