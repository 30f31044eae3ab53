import assert from 'node:assert/strict'
import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {migrateFlags, type Playground} from '../sandbox/playground.js'
import type {Host} from './host.js'
import {NAME} from './package.js'

interface Status {
  tables: {journal?: {entries: unknown}; state: string; text?: string}[]
}

async function versionOf(host: Host): Promise<string> {
  const path = join(host.dataDirectory, 'node_modules', NAME, 'package.json')
  return (JSON.parse(await readFile(path, 'utf8')) as {version: string}).version
}

/** The journals of the machine, by name. */
async function journals(host: Host): Promise<Map<string, string>> {
  const directory = join(host.dataDirectory, 'table-migrator')
  const names = (await readdir(directory)).filter((name) => name.endsWith('.jsonl'))
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name), 'utf8')] as const)),
  )
}

/**
 * A migration that is stopped on its way, and lives through everything that may happen to the plugin meanwhile: it is
 * uninstalled, installed again and brought up to date; then the migration goes on to its end.
 * @param publishNext makes the next version known to the registry
 */
export async function migrateAcrossVersions(
  host: Host,
  playground: Playground,
  [first, next]: [string, string],
  publishNext: () => Promise<void>,
): Promise<void> {
  const flags = migrateFlags(playground)
  const ok = async (...args: string[]) => {
    const ran = await host.run(args)
    assert.equal(ran.exitCode, 0, `${args.join(' ')}: ${ran.stdout}${ran.stderr}`)
    return ran.stdout
  }

  const status = async () => {
    const {exitCode, stderr, stdout} = await host.run(['table', 'migrate-status', ...flags, '--json'])
    assert.equal(exitCode, 4, stdout + stderr)
    return (JSON.parse(stdout) as Status).tables[0]!
  }

  await ok('plugins', 'install', NAME)
  assert.equal(await versionOf(host), first)

  let interrupted = false
  const stopped = await host.run(['table', 'migrate', ...flags, '--yes'], (stdout, child) => {
    if (interrupted || !/event=progress .*DS_/.test(stdout)) return
    interrupted = true
    child.kill('SIGINT')
  })
  assert.equal(stopped.exitCode, 130, stopped.stdout + stopped.stderr)
  const left = await journals(host)
  assert.deepEqual([...left.keys()], ['users@onebox2.jsonl'])
  assert.match([...left.values()][0]!, /"kind":"duplication"/)

  await ok('plugins', 'uninstall', NAME)
  assert.notEqual((await host.run(['table:migrate', '--help'])).exitCode, 0)
  assert.deepEqual(await journals(host), left, 'the journal outlives the plugin')

  await ok('plugins', 'install', NAME)
  const seen = await status()
  assert.ok(seen.journal, 'status knows the journal of before')
  // Without the journal it would be somebody else's.
  assert.match(seen.state, /^(?:preparing|copying|catching-up|caught-up)$/)

  await publishNext()
  await ok('plugins', 'update')
  assert.equal(await versionOf(host), next)
  assert.ok((await status()).journal)

  const migrated = await ok('table:migrate', ...flags, '--yes')
  assert.match(migrated, /phase=finish table=users event=finished/)
  assert.match(migrated, /users was moved from onebox to onebox2\./)
  // It went on with the duplication of before.
  assert.doesNotMatch(migrated, /effect=add-duplication/)
  const {source, target} = playground.sandbox
  assert.deepEqual(new Set(target.rows('users').keys()), new Set(source.rows('users').keys()))
  await ok('plugins', 'uninstall', NAME)
  assert.equal((await journals(host)).size, 1)
}
