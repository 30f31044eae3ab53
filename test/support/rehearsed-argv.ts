import {hasTerminals} from './shell-process.js'

/** What every rehearsed `table:migrate` is told. */
export const TABLE_ARGV = ['-t', 'users', '-c', 'onebox2', '-m', 'c:3', '--source-meta', 'a:1']
export const METAPROXY_ARGV = ['-r', '/pegasus-metaproxy', '-n', 'zk:2181']
/** Nobody is asked anything. */
export const WHOLE_ARGV = [...TABLE_ARGV, ...METAPROXY_ARGV, '--yes']

/** For `before`: leaves the tests out, aloud, where there can be no terminal. */
export function needTerminals(this: Mocha.Context): void {
  if (hasTerminals) return
  console.log("      skipped: util-linux's `script` is not there to make a terminal with")
  this.skip()
}
