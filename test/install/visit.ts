import assert from 'node:assert/strict'
import type {Host} from './host.js'
import {NAME} from './package.js'
import {root} from './host.js'

/**
 * What somebody does with the plugin in a shell: installs it, reads its help, mistypes, rehearses a migration, replaces it
 * by a linked copy and takes it away.
 * @param flags of `table:migrate`
 */
export async function visit(host: Host, topicSeparator: ' ' | ':', flags: string[]): Promise<void> {
  const run = (words: string, ...args: string[]) =>
    host.run([...words.replaceAll(' ', topicSeparator).split(' '), ...args])
  const ok = async (words: string, ...args: string[]) => {
    const ran = await run(words, ...args)
    assert.equal(ran.exitCode, 0, `${words} ${args.join(' ')}: ${ran.stdout}${ran.stderr}`)
    return ran.stdout
  }

  await ok('plugins install', NAME)
  assert.match(await ok('table migrate', '--help'), new RegExp(`\\$ pegasus table${topicSeparator}migrate `))
  assert.match(await ok('plugins'), new RegExp(`^${NAME} `, 'm'))
  // Whatever the host writes, the command line of the README is understood.
  assert.equal((await host.run(['table:migrate', '--no-such-flag'])).exitCode, 2)
  const rehearsed = await ok('table migrate', ...flags, '--dry-run', '--json')
  assert.equal((JSON.parse(rehearsed) as {outcome: string}).outcome, 'dry-run')

  await ok('plugins link', root, '--no-install')
  assert.match(await ok('plugins'), new RegExp(`^${NAME} .*\\(link\\)`, 'm'))
  await ok('table migrate-status', '--help')
  await ok('plugins uninstall', NAME)
  assert.notEqual((await run('table migrate', '--help')).exitCode, 0)
}
