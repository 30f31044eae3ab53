import {GuardChannel} from '../../../src/lib/migration/guard/channel.js'
import {parsePlan} from '../../../src/lib/migration/guard/plan.js'
import {deniedSince} from '../../../src/lib/migration/journal-tail.js'
import {hintsOf, journalFileName, readJournal} from '../../../src/lib/migration/journal.js'
import {LockFile, readLockFile} from '../../../src/lib/migration/lock-file.js'
import {summarize} from '../../../src/lib/migration/status/journal-facts.js'
import type {Sides} from '../../../src/lib/migration/verify/sides.js'
import {StateFile} from '../../../src/lib/migration/verify/state-file.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryFiles} from '../../support/memory-files.js'
import {mutateAsJson, mutateJsonLines} from '../json-mutations.js'
import {shapeOf, type Target} from '../target.js'

const json = (...values: unknown[]) => Buffer.from(values.map((value) => JSON.stringify(value)).join('\n'))

function filesWith(path: string, input: Buffer): MemoryFiles {
  const files = new MemoryFiles()
  files.texts.set(path, input.toString('utf8'))
  return files
}

const stamp = {at: '2026-11-22T00:00:00.000Z', run: 'r'}
const setting = {before: '10', kind: 'set-server-config', name: 'n', server: '127.0.0.1:1', side: 'source', value: '1'}
const switching = {before: '{}', beforeVersion: 1, bytes: '{}', kind: 'switch-node', path: '/a'}
const begin = {
  denyMode: 'reconfig',
  kind: 'begin',
  maxWriteDenyMs: 1,
  metaproxyHosts: 'zk:2181',
  proxies: ['127.0.0.1:1'],
  root: '/a',
  sourceCluster: 'onebox',
  sourceMetas: ['127.0.0.1:3'],
  table: 'temp',
  targetCluster: 'onebox2',
  targetMetas: ['127.0.0.1:2'],
  thresholdMutations: 1,
  version: 1,
}

/** A journal, and all that reads it. */
export const journals: Target = {
  mutate: mutateJsonLines,
  name: 'journals',
  async run(input) {
    const path = `/j/${journalFileName('temp', 'onebox2')}`
    deniedSince(input.toString('utf8'))
    const records = await readJournal(path, filesWith(path, input))
    const hints = hintsOf(records)
    const facts = summarize({path, table: 'temp', targetCluster: 'onebox2'}, records)
    if (facts) for (const ms of [facts.lastAtMs, facts.startedAtMs]) new Date(ms).toISOString()
    const key = Object.keys(hints).filter((name) => hints[name as keyof typeof hints] !== undefined)
    return `${Math.min(records.length, 5)} ${key.join(' ')} ${facts ? 'facts' : ''}`
  },
  seeds: () => [
    json(
      {...stamp, ...begin},
      {...stamp, kind: 'phase', phase: 'deny', state: 'started'},
      {...stamp, kind: 'end', outcome: 'migrated'},
    ),
    json({...stamp, ...begin}, {...stamp, ballots: {0: 3}, kind: 'adding'}, {...stamp, dupid: 7, kind: 'duplication'}),
    json(
      {...stamp, effect: setting, kind: 'before'},
      {...stamp, effect: {...setting, before: '1', value: '10'}, kind: 'after', outcome: 'done'},
      {...stamp, effect: {before: null, kind: 'deny', value: 'reconfig*write'}, kind: 'before'},
      {...stamp, effect: {before: '', kind: 'lift-deny'}, kind: 'after', outcome: 'done'},
      {...stamp, effect: switching, kind: 'before'},
      {...stamp, effect: switching, kind: 'after', outcome: 'done'},
      {...stamp, effect: {before: 'a', kind: 'set-meta-level', level: 'b', side: 'source'}, kind: 'before'},
      {...stamp, effect: {dupid: 7, kind: 'remove-duplication'}, kind: 'after', outcome: 'done'},
      {...stamp, kind: 'guard', state: 'lifted', text: 'x'},
      {...stamp, kind: 'word'},
    ),
  ],
}

/** The files of a guard: the first byte tells which. */
export const guards: Target = {
  mutate: (input, random) => Buffer.concat([input.subarray(0, 1), mutateAsJson(input.subarray(1), random)]),
  name: 'guard-files',
  async run(input) {
    const kind = (input[0] ?? 0) % 4
    const text = input.subarray(1)
    if (kind === 3) return shapeOf(parsePlan(text.toString('utf8')))
    const path = `/j/${journalFileName('temp', 'onebox2').replace(/\.jsonl$/, '')}.${['beat', 'guard', 'claim'][kind]}`
    const channel = new GuardChannel('/j', 'temp', 'onebox2', filesWith(path, text))
    if (kind === 2) return String(await channel.claimant())
    if (kind === 0) return shapeOf(await channel.readBeat())
    const status = await channel.readStatus()
    return status ? `${status.state} ${typeof new Date(status.sinceMs).toISOString()}` : 'none'
  },
  seeds() {
    const request = {denyMode: 'reconfig', sourceMetas: ['a:1'], table: 't', targetCluster: 'c', targetMetas: ['b:1']}
    const driver = {host: 'h', pid: 7, pidSpace: '', started: ''}
    const plan = {driver, dupid: 1, journalDirectory: '/j', request, timers: {groupCheckMs: 1, syncMs: 1}}
    const status = {pid: 1, sinceMs: 1_767_225_600_000, state: 'watching', text: 'the driver beats'}
    const texts = [json({count: 1, stage: 'armed'}), json(status), Buffer.from('word'), json(plan)]
    return texts.map((text, index) => Buffer.concat([Buffer.from([index]), text]))
  },
}

const nobody = {
  isDead: async () => false,
  lives: () => true,
  own: async () => ({host: 'h', pid: 2, pidSpace: '', started: ''}),
}

/** A lock file, for those who look and for those who want it. */
export const locks: Target = {
  mutate: mutateAsJson,
  name: 'lock-files',
  async run(input) {
    const place = {files: filesWith('/j/x.lock', input), processes: nobody}
    const holder = await readLockFile('/j/x.lock', place)
    const note = {command: 'c', host: 'h', pid: 2, pidSpace: '', sinceMs: 0, started: '', token: 'mine'}
    const clock = new VirtualClock()
    await clock.run(LockFile.take('/j/x.lock', 'temp', note, clock, place))
    return shapeOf(holder)
  },
  seeds: () => [
    json({command: 'c', host: 'h', pid: 1, pidSpace: 'pid:[1]', sinceMs: 1_767_225_600_000, started: '1', token: 't'}),
  ],
}

const side = (name: string, appId: number) => ({name, table: {appId, envs: new Map(), partitionCount: 8}})
const sides = {duplication: {dupid: 7}, source: side('onebox', 1), target: side('onebox2', 2)} as unknown as Sides
const counts = {different: 0, equal: 5, expiring: 0, hot: 0, missingOnSource: 0, missingOnTarget: 0, rowsCompared: 5}
const identity = {
  defaultTtl: ' ',
  dupid: 7,
  partitionCount: 8,
  source: 'onebox',
  sourceTableId: 1,
  target: 'onebox2',
  targetTableId: 2,
}

/** What a verify that was interrupted left. */
export const verifyStates: Target = {
  mutate: mutateAsJson,
  name: 'verify-states',
  async run(input) {
    const path = `/j/${journalFileName('temp', 'onebox2').replace(/\.jsonl$/, '.verify.json')}`
    const options = {clock: new VirtualClock(), directory: '/j', files: filesWith(path, input), resume: true, sides}
    const state = await StateFile.open({...options, table: 'temp'})
    for (const {partition} of state.earlier)
      if (!(partition >= 0 && partition < 8)) throw new Error(`partition ${partition} of 8`)
    return `${state.earlier.length} ${new Date(state.sinceMs).toISOString().length}`
  },
  seeds: () => [
    json({
      identity,
      partitions: [0, 3].map((partition) => ({...counts, partition, rowsOnSource: 5, rowsOnTarget: 5, unresolved: 0})),
      schema: 1,
      sinceMs: 1_767_225_600_000,
    }),
  ],
}
