import type {Hook} from '@oclif/core'
import {join} from 'node:path'
import {findPerhapsDenied} from '../lib/migration/journal-tail.js'

/** As `printable` of ui/text.ts, which is not loaded before every command. */
function plain(text: string): string {
  const code = (character: string) => character.codePointAt(0)!.toString(16).padStart(4, '0')
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u${code(character)}`)
}

/** Before any command of the shell: a table that was left write-denied must not be forgotten. */
const hook: Hook<'init'> = async function ({argv, config, id}) {
  const ownCommand = id !== undefined && /^table(?:[: ]|$)/.test(id)
  if (ownCommand || argv.includes('--json') || process.env.CONTENT_TYPE === 'json') return
  for (const {since, table} of findPerhapsDenied(join(config.dataDir, 'table-migrator'))) {
    // Names come from this machine's own file names; only what a shell and a terminal take as it is may be shown.
    const name = /^[\w.:-]+$/.test(table) ? table : `'${plain(table).replaceAll("'", String.raw`'\''`)}'`
    process.stderr.write(
      `warning: table ${name} may be write-denied since ${plain(since)}; run: ${config.bin} table:migrate-rollback -t ${name}\n`,
    )
  }
}

export default hook
