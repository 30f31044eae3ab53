import {testCases} from './cases.js'
import {dumpOf, make24, makeMaster, setEverywhere} from './healthy-facts.js'

describe('preflight: timers and limits', () => {
  testCases([
    {change() {}, id: 'config-sync', says: /^30000 ms on all 3$/, severity: 'ok', when: 'all have one interval'},
    {
      change: make24,
      id: 'config-sync',
      says: /^30000 ms on all 3; cannot be lowered .*no flag on 2\.4/,
      severity: 'ok',
      when: 'only the file tells, on 2.4',
    },
    {
      change({source}) {
        source.servers[1]!.config.delete('config_sync_interval_ms')
        source.servers[1]!.dump = undefined
      },
      id: 'config-sync',
      says: /could not be read on 10\.0\.0\.2:34801/,
      severity: 'error',
      when: 'a server does not tell',
    },
    {
      change({source}) {
        source.servers[1]!.dump = dumpOf('onebox', ({replication}) => {
          replication.config_sync_disabled = 'true'
        })
      },
      id: 'config-sync',
      says: /config_sync_disabled is true on 10\.0\.0\.2:34801/,
      severity: 'error',
      when: 'envs never reach a server',
    },
    {change() {}, id: 'empty-writes', says: /every 10000 ms on all 3/, severity: 'ok', when: 'they are on'},
    {
      change({source}) {
        source.servers[0]!.config.set('empty_write_disabled', 'true')
      },
      id: 'empty-writes',
      says: /is true on 10\.0\.0\.1:34801: the last write of each partition there never ships/,
      severity: 'error',
      when: 'a server makes none',
    },
    {
      change({source}) {
        source.servers[0]!.dump = dumpOf('onebox', ({replication}) => {
          replication.group_check_disabled = 'true'
        })
      },
      id: 'empty-writes',
      says: /group_check_disabled is true on 10\.0\.0\.1:34801/,
      severity: 'error',
      when: 'a server makes no group check',
    },
    {
      change({source}) {
        source.servers[0]!.config.clear()
      },
      id: 'empty-writes',
      says: /could not be read on 10\.0\.0\.1:34801/,
      severity: 'error',
      when: 'a server does not tell',
    },
    {
      change({source}) {
        const idle = {...source.servers[0]!, address: '10.0.0.4:34801', primaryOf: [], replicaOf: []}
        source.otherServers = [{...idle, config: new Map([['empty_write_disabled', 'true']])}]
      },
      id: 'empty-writes',
      says: /10\.0\.0\.4:34801.*host no replica today/,
      severity: 'warning',
      when: 'a server without the table makes none',
    },
    {
      change: (facts) => makeMaster(facts),
      id: 'empty-writes',
      says: /master/,
      severity: 'skipped',
      when: 'master needs none',
    },
    {
      change() {},
      id: 'batch-bytes',
      says: /^4096 on all 3; the migration sets 0/,
      severity: 'ok',
      when: 'it is a flag',
    },
    {
      change({source}) {
        source.servers[2]!.config.set('duplicate_log_batch_bytes', undefined)
      },
      id: 'batch-bytes',
      says: /no flag on 10\.0\.0\.3:34801/,
      severity: 'error',
      when: 'a server has no such flag',
    },
    {
      change({source}) {
        source.servers[2]!.config.clear()
        source.servers[2]!.failures.set('config', new Error('timed out'))
      },
      id: 'batch-bytes',
      says: /could not be read on 10\.0\.0\.3:34801/,
      severity: 'error',
      when: 'a server does not tell',
    },
    {
      change() {},
      id: 'write-size',
      says: /up to 1048576 bytes, the target 1048576 bytes/,
      severity: 'ok',
      when: 'both allow the same',
    },
    {
      change({target}) {
        target.servers[1]!.dump = dumpOf('onebox2', ({replication}) => {
          replication.max_allowed_write_size = '65536'
        })
      },
      id: 'write-size',
      says: /up to 1048576 bytes, the target 65536 bytes/,
      severity: 'confirm',
      when: 'one target server allows less',
    },
    {
      change({source}) {
        source.servers[1]!.dump = dumpOf('onebox', ({replication}) => {
          replication.max_allowed_write_size = '0'
        })
      },
      id: 'write-size',
      says: /up to any size, the target 1048576 bytes/,
      severity: 'confirm',
      when: 'the source has no limit',
    },
    {
      change({target}) {
        target.servers[1]!.dump = undefined
      },
      id: 'write-size',
      says: /could not be read on 10\.0\.1\.2:34801/,
      severity: 'warning',
      when: 'a server does not tell',
    },
    {
      change: make24,
      id: 'write-deny-bound',
      says: /drain takes 10 s to 22 s.*taking the deny back takes up to 31 s more: together 94 s, allowed 120 s$/,
      severity: 'ok',
      when: 'the bound is above the sum',
    },
    {
      change() {},
      id: 'write-deny-bound',
      says: /together 94 s \(36 s once the config sync is shortened\), allowed 120 s$/,
      severity: 'ok',
      when: 'it is so even if the config sync is not shortened',
    },
    {
      change(facts) {
        facts.request.maxWriteDenyMs = 60_000
      },
      id: 'write-deny-bound',
      says: /together 36 s, allowed 60 s; without the shortened config sync 94 s$/,
      severity: 'warning',
      when: 'it depends on the shortened config sync',
    },
    {
      change(facts) {
        facts.request.maxWriteDenyMs = 60_000
        facts.request.fastCutover = 'on'
      },
      id: 'write-deny-bound',
      says: /together 36 s, allowed 60 s$/,
      severity: 'ok',
      when: 'the shortened config sync was insisted on',
    },
    {
      change(facts) {
        facts.request.maxWriteDenyMs = 60_000
        facts.request.fastCutover = 'off'
      },
      id: 'write-deny-bound',
      says: /together 94 s, allowed 60 s$/,
      severity: 'error',
      when: 'the config sync is not to be shortened',
    },
    {
      change(facts) {
        makeMaster(facts)
        facts.request.maxWriteDenyMs = 60_000
        facts.request.fastCutover = 'on'
      },
      id: 'write-deny-bound',
      says: /together 74 s, allowed 60 s$/,
      severity: 'error',
      when: 'the config sync cannot be shortened',
    },
    {
      change(facts) {
        facts.request.maxWriteDenyMs = 30_000
      },
      id: 'write-deny-bound',
      says: /together 36 s, allowed 30 s$/,
      severity: 'error',
      when: 'the bound is below every sum',
    },
    {
      change: (facts) => setEverywhere(facts, 'group_check_interval_ms', '100000'),
      id: 'write-deny-bound',
      says: /drain takes 100 s to 202 s.*together 216 s, allowed 120 s$/,
      severity: 'error',
      when: 'the group check is that of the stock configuration',
    },
    {
      change(facts) {
        makeMaster(facts)
        facts.request.fastCutover = 'on'
      },
      id: 'config-sync',
      says: /--fast-cutover has no effect/,
      severity: 'warning',
      when: 'it was to be shortened where it cannot be',
    },
  ])
})
