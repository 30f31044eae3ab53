import {parseLockNote, lockHeld} from '../../../src/lib/metaproxy/shared-lock.js'
import {parseNodeData} from '../../../src/lib/metaproxy/node-data.js'
import {parseZooKeeperAuth, parseZooKeeperHosts} from '../../../src/lib/metaproxy/zookeeper-options.js'
import {parseConfigDump} from '../../../src/lib/pegasus/config-dump.js'
import {parseProgress} from '../../../src/lib/pegasus/replica-progress.js'
import {
  parseCounters,
  parseDataVersions,
  parseDuplicationStates,
  parseMetrics,
} from '../../../src/lib/pegasus/server-text.js'
import * as flags from '../../../src/lib/ui/parse.js'
import {shellQuote} from '../../../src/lib/shell-quote.js'
import {paragraph, printable} from '../../../src/lib/ui/text.js'
import {goldenExchanges, goldenHttp, goldenText} from '../../support/golden.js'
import {mutateAsJson, mutateJsonLines} from '../json-mutations.js'
import {below, oneOf, shapeOf, type Target} from '../target.js'

const text = (...lines: string[]) => Buffer.from(lines.join('\n'))

/** The first byte tells the parser. */
function choice(
  name: string,
  parsers: readonly ((text: string) => unknown)[],
  seeds: () => Buffer[],
  mutate: NonNullable<Target['mutate']>,
): Target {
  return {
    mutate(input, random) {
      const parser = random() < 0.9 ? (input[0] ?? 0) : below(random, parsers.length)
      return Buffer.concat([Buffer.from([parser]), mutate(input.subarray(1), random)])
    },
    name,
    run(input) {
      const index = (input[0] ?? 0) % parsers.length
      return `${index} ${shapeOf(parsers[index]!(input.subarray(1).toString('utf8')))}`
    },
    seeds,
  }
}

const bodies = () =>
  [...goldenHttp('2.5.0'), ...goldenHttp('master')].map(({response}) =>
    response.slice(response.indexOf('\r\n\r\n') + 4),
  )
const commandTexts = () =>
  goldenExchanges().flatMap(({case: name, file, rpc}) =>
    rpc === 'RPC_CLI_CLI_CALL' ? [goldenText(file.includes('master') ? 'master' : '2.5.0', name)] : [],
  )

/** Texts and JSON of servers, without the network around them. */
export const serverTexts = choice(
  'server-texts',
  [
    parseConfigDump,
    parseProgress,
    parseCounters,
    parseMetrics,
    parseDataVersions,
    (body) => parseDuplicationStates(body, 2),
  ],
  () =>
    [...bodies(), ...commandTexts()].flatMap((body) => {
      const index =
        body.startsWith('{"counters') || body.includes('"counters"')
          ? 2
          : body.includes('entities')
            ? 3
            : body.includes('data_version')
              ? 4
              : 5
      const short = body.slice(0, 4000)
      const first = body.includes('processed') ? 1 : body.includes('[apps') ? 0 : index
      return [Buffer.concat([Buffer.from([first]), Buffer.from(first === 0 ? short : body.slice(0, 20_000))])]
    }),
  mutateJsonLines,
)

/** What ZooKeeper's nodes hold: the table's, and a lock's. */
export const nodes = choice(
  'zookeeper-nodes',
  [
    (data) => parseNodeData(Buffer.from(data)),
    (note) => {
      const holder = parseLockNote(note)
      return holder && lockHeld('temp', holder)
    },
  ],
  () => [
    text('\0{"cluster_name":"onebox","meta_addrs":"127.0.0.1:34601,127.0.0.1:34602"}'),
    text(
      '\u{1}{"command":"table:migrate -t x","host":"h","pid":1,"pidSpace":"pid:[1]","sinceMs":1767225600000,"started":"1","token":"t"}',
    ),
  ],
  mutateAsJson,
)

const flagParsers: ((input: string) => unknown)[] = [
  flags.parseDuration,
  flags.parseCount,
  flags.parseAddresses,
  flags.parseTableName,
  flags.parseClusterName,
  flags.parseRoot,
  flags.parseZooKeeper,
  flags.parseCheckIds,
  flags.checkZooKeeperAuth,
  parseZooKeeperAuth,
  parseZooKeeperHosts,
]

export const flagValues = choice(
  'flags',
  flagParsers,
  () =>
    [
      '120s',
      '10K',
      '127.0.0.1:34601,[::1]:2',
      'temp',
      'onebox2',
      '/pegasus-metaproxy',
      'zk:2181,zk2:2181/a',
      'direct-clients,x',
      'digest:u:p',
      'digest:u:p',
      'zk:2181/a/b',
    ].map((value, index) => Buffer.concat([Buffer.from([index]), Buffer.from(value)])),
  mutateAsJson,
)

/** What reaches a terminal or a shell. */
export const terminal: Target = {
  mutate: (input, random) =>
    Buffer.concat([
      mutateAsJson(input, random),
      Buffer.from(oneOf(random, ['\u{1B}c', '\u{9D}', '\u{2067}', '\r', ''])),
    ]),
  name: 'terminal',
  run(input) {
    const words = input.toString('utf8')
    const shown = [printable(words), ...paragraph(words, '  ', 60)].join('')
    const steering = /[^\P{C}\p{Co}\p{Cn}\p{Cs}]|[\p{Zl}\p{Zp}]/u.exec(shown)
    if (steering) throw new Error(`U+${steering[0].codePointAt(0)!.toString(16)} reaches the terminal`)
    const quoted = shellQuote(words)
    if (quoted !== words && !/^'(?:[^']|'\\'')*'$/.test(quoted)) throw new Error('a word that is not one word')
    return shown === words ? 'same' : 'escaped'
  },
  seeds: () => [text('temp'), text("it's"), text('\u{1B}[31mred', '$(reboot)'), text('\u{202E}gnp.exe')],
}
