import assert from 'node:assert/strict'
import {readFileSync} from 'node:fs'
import * as fc from 'fast-check'

import {isMigratorError} from '../../../src/lib/errors.js'
import {parseConfigDump} from '../../../src/lib/pegasus/config-dump.js'
import {parseProgress} from '../../../src/lib/pegasus/replica-progress.js'
import {
  parseCounters,
  parseDataVersions,
  parseDuplicationStates,
  parseMetrics,
} from '../../../src/lib/pegasus/server-text.js'
import {goldenText} from '../../support/golden.js'

describe('texts of servers', () => {
  describe('parseConfigDump', () => {
    const text = readFileSync(new URL('../../golden/config-dump-excerpt-2.5.0.txt', import.meta.url), 'utf8')
    const dump = parseConfigDump(text)

    it('finds values by section and key', () => {
      assert.equal(dump.get('duplication-group', 'onebox2'), '2')
      assert.equal(dump.get('pegasus.clusters', 'onebox'), '127.0.0.1:24601,127.0.0.1:24602')
      assert.equal(dump.get('replication', 'cluster_name'), 'onebox')
      assert.equal(dump.get('replication', 'checkpoint_interval_seconds'), '100')
      assert.equal(dump.get('apps..default', 'run'), 'true')
      assert.equal(dump.get('apps..default', 'arguments'), '')
    })

    it('lists a section', () => {
      assert.deepEqual(
        [...dump.section('duplication-group')],
        [
          ['onebox', '1'],
          ['onebox2', '2'],
        ],
      )
      assert.equal(dump.section('no such section').size, 0)
      assert.equal(dump.get('no such section', 'x'), undefined)
      assert.equal(dump.get('replication', 'x'), undefined)
    })

    it('takes no comment for a value, and keeps what follows the first sign of equality', () => {
      const odd = parseConfigDump('a = lost\n[s]\n; k = comment\nk = a=b ; c\n\n[]\nk = 1\n[s]\nl = 2\n')
      assert.equal(odd.get('s', 'k'), 'a=b ; c')
      assert.equal(odd.get('s', 'l'), '2')
      assert.equal(odd.get('', 'k'), '1')
    })

    it('refuses more lines than any server has', () => {
      assert.equal(parseConfigDump(`[s]\n${'a=b\n'.repeat(199_998)}`).get('s', 'a'), 'b')
      assert.throws(() => parseConfigDump('\n'.repeat(200_000)), /config-dump has more than 200000 lines/)
    })

    it('reads any text', () => {
      fc.assert(fc.property(fc.string({unit: 'binary'}), (any) => assert.ok(parseConfigDump(any))))
    })
  })

  it('with more values than any server sends are refused before they take memory and time', () => {
    for (const piece of ['[', '{},', '"a":{', ','])
      assert.throws(() => parseMetrics(piece.repeat(500_001)), /metrics has more than 500000 values/)
    assert.throws(() => parseProgress('['.repeat(500_001)), /replica.query-progress has more than 500000 values/)
    const most = `{"counters":[${'0,'.repeat(499_997)}0]}`
    assert.throws(() => parseCounters(most), /counter is no object/)
  })

  describe('parseProgress', () => {
    it('reads every replica of a server of master', () => {
      const replicas = parseProgress(goldenText('master', 'cli.replica.query-progress.replica'))
      assert.equal(replicas.length, 12)
      assert.deepEqual(replicas[0], {
        appId: 6,
        duplications: [{confirmedDecree: 628, dupid: 1_795_333_833, remoteClusterName: 'onebox2', shippedDecree: 641}],
        isPrimary: true,
        lastAppliedDecree: 641,
        lastCommittedDecree: 641,
        maxPreparedDecree: 641,
        partitionIndex: 0,
      })
      assert.deepEqual(replicas[1]!.duplications, [])
      assert.equal(replicas[1]!.isPrimary, false)
    })

    it('leaves out what was asked for and is not there', () => {
      assert.deepEqual(parseProgress('0 processed, 1 not found\n    5.0@localhost:22801 : not found'), [])
      const text = goldenText('master', 'cli.query-progress.log.replica')
      const more = text.replace(
        '4 processed, 0 not found\n',
        '4 processed, 1 not found\n    5.9@localhost:22801 : not found\n',
      )
      assert.deepEqual(parseProgress(more), parseProgress(text))
      assert.deepEqual(parseProgress(`${text}\n    6.0@localhost:22801 : not found`), parseProgress(text))
    })

    it('refuses what is not such a text', () => {
      const text = goldenText('master', 'cli.query-progress.log.replica')
      for (const bad of ['', 'invalid arguments', text.replace('"max_prepared_decree": 50,', ''), text.slice(0, -20)]) {
        assert.throws(() => parseProgress(bad), {code: 'rpc.malformed'})
      }
    })
  })

  describe('what servers say as JSON', () => {
    it('is read as duplication states, those of the table alone', () => {
      const state = {
        duplicating: true,
        fail_mode: 'FAIL_SLOW',
        not_confirmed_mutations_num: 8,
        not_duplicated_mutations_num: 1,
      }
      const body = JSON.stringify({
        7: {'2.1': state, '2.0': state, '22.0': state},
        5: {'2.1': {...state, remote_app_name: 'x'}},
      })
      const expected = {duplicating: true, failMode: 'FAIL_SLOW', notConfirmedMutations: 8, notDuplicatedMutations: 1}
      assert.deepEqual(parseDuplicationStates(body, 2), [
        {...expected, dupid: 7, partitionIndex: 0},
        {...expected, dupid: 5, partitionIndex: 1},
        {...expected, dupid: 7, partitionIndex: 1},
      ])
      assert.deepEqual(parseDuplicationStates('{}', 2), [])
    })

    it('is read as perf counters', () => {
      const counters = parseCounters(goldenText('2.5.0', 'cli.perf-counters-by-substr.replica'))
      assert.deepEqual([...counters], [['replica*eon.replica_stub*dup.pending_mutations_count', 2]])
      assert.equal(parseCounters(goldenText('master', 'cli.perf-counters-by-substr.replica')).size, 0)
    })

    it('is rpc.malformed when it is anything else', () => {
      const parsers = [
        (text: string) => parseDuplicationStates(text, 2),
        parseDataVersions,
        parseCounters,
        parseMetrics,
        parseProgress,
      ]
      const json = fc.oneof(
        fc.json(),
        fc.string(),
        fc.constantFrom('{"7":{"2.0":{}}}', '{"0":{"data_version":1}}', '{"counters":[1]}'),
      )
      fc.assert(
        fc.property(json, fc.constantFrom(...parsers), (text, parse) => {
          try {
            parse(text)
          } catch (error) {
            assert.ok(isMigratorError(error, 'rpc.malformed'), String(error))
          }
        }),
        {numRuns: 500},
      )
    })
  })
})
