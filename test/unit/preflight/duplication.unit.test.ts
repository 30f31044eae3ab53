import {DuplicationFailMode, DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {testCases} from './cases.js'
import {duplicationOf, makeMaster} from './healthy-facts.js'

describe('preflight: duplications', () => {
  testCases([
    {
      change() {},
      id: 'foreign-duplication',
      says: /not being duplicated to onebox2/,
      severity: 'ok',
      when: 'there is none',
    },
    {
      change(facts) {
        facts.source.duplications = [duplicationOf()]
        facts.ownDupid = 77
      },
      id: 'foreign-duplication',
      says: /^ours: duplication 77 to onebox2 \(DS_LOG\)/,
      severity: 'ok',
      when: 'it is the one of the journal',
    },
    {
      change(facts) {
        facts.source.duplications = [duplicationOf()]
        facts.ownDupid = 76
        facts.request.verify = 'full'
      },
      id: 'foreign-duplication',
      says: /77 to onebox2 \(DS_LOG\) is not from a run/,
      severity: 'confirm',
      when: 'somebody else began it and all values will be compared',
    },
    {
      change(facts) {
        facts.source.duplications = [duplicationOf()]
      },
      id: 'foreign-duplication',
      says: /only a comparison of all values can tell/,
      severity: 'error',
      when: 'somebody else began it and only samples will be compared',
    },
    {
      change(facts) {
        facts.source.duplications = [duplicationOf(), duplicationOf({dupid: 78})]
        facts.ownDupid = 77
      },
      id: 'foreign-duplication',
      says: /several duplications to onebox2: 77 .*, 78/,
      severity: 'error',
      when: 'there are two to the target',
    },
    {
      change({source}) {
        source.duplications = [duplicationOf({remote: 'onebox3'})]
      },
      id: 'other-duplications',
      says: /77 to onebox3/,
      severity: 'confirm',
      when: 'another cluster gets the table too',
    },
    {change() {}, id: 'other-duplications', says: /not duplicated to any other/, severity: 'ok', when: 'none does'},
    {
      change(facts) {
        facts.source.duplications = [duplicationOf({failMode: DuplicationFailMode.FAIL_SKIP})]
        facts.ownDupid = 77
      },
      id: 'duplication-state',
      says: /FAIL_SKIP: it leaves out log files/,
      severity: 'error',
      when: 'it may skip mutations',
    },
    {
      change({source}) {
        source.duplications = [duplicationOf({status: DuplicationStatus.DS_PAUSE})]
      },
      id: 'duplication-state',
      says: /paused by somebody/,
      severity: 'error',
      when: 'somebody paused it',
    },
    {
      change(facts) {
        facts.source.duplications = [duplicationOf({status: DuplicationStatus.DS_PAUSE})]
        facts.ownDupid = 77
      },
      id: 'duplication-state',
      says: /DS_PAUSE\), FAIL_SLOW/,
      severity: 'ok',
      when: 'an earlier run of ours paused it',
    },
    {
      change({target}) {
        target.duplications = [duplicationOf({remote: 'onebox'})]
      },
      id: 'source-is-follower',
      says: /duplicated to the source: 77 to onebox/,
      severity: 'error',
      when: 'the target duplicates back',
    },
    {
      change({source}) {
        source.servers[1]!.activity[1]!.set('duplicate', 0.5)
      },
      id: 'source-is-follower',
      says: /receives duplicated writes/,
      severity: 'error',
      when: 'duplicated writes arrive',
    },
    {
      change(facts) {
        makeMaster(facts)
        for (const sample of facts.source.servers[1]!.activity) sample.set('duplicate', 900)
      },
      id: 'source-is-follower',
      says: /since its servers started, but none just now/,
      severity: 'warning',
      when: 'master counted some in the past',
    },
    {
      change({source}) {
        source.servers[1]!.activity = []
      },
      id: 'source-is-follower',
      says: /counters could not be read/,
      severity: 'warning',
      when: 'the counters are not known',
    },
    {change() {}, id: 'source-is-follower', says: /nothing on onebox or onebox2/, severity: 'ok', when: 'nothing does'},
    {
      change({source}) {
        source.servers[0]!.activity[1]!.set('incr', 3.25)
        source.servers[1]!.activity[0]!.set('incr', 1)
        source.servers[2]!.activity[0]!.set('check_and_mutate', 2)
      },
      id: 'atomic-writes',
      says: /per second: incr 4\.3, check_and_mutate 2/,
      severity: 'confirm',
      when: 'one of two samples shows some',
    },
    {
      change(facts) {
        makeMaster(facts)
        facts.source.servers[0]!.activity[0]!.set('check_and_set', 7)
      },
      id: 'atomic-writes',
      says: /since the servers started: check_and_set 7/,
      severity: 'confirm',
      when: 'master counted some',
    },
    {
      change(facts) {
        makeMaster(facts)
        facts.source.servers[0]!.activity[0]!.set('incr', 7)
        facts.source.table.atomicIdempotent = true
      },
      id: 'atomic-writes',
      says: /atomic_idempotent/,
      severity: 'ok',
      when: 'they are duplicated as puts',
    },
    {
      change(facts) {
        facts.source.servers[0]!.activity[0]!.set('incr', 7)
        facts.source.duplications = [duplicationOf()]
        facts.ownDupid = 77
      },
      id: 'atomic-writes',
      says: /^ours/,
      severity: 'ok',
      when: 'our duplication refuses them already',
    },
    {
      change({source}) {
        source.servers[0]!.activity = []
      },
      id: 'atomic-writes',
      says: /on 2 servers .*; not known on 10\.0\.0\.1:34801/,
      severity: 'warning',
      when: 'a server does not tell',
    },
    {
      change() {},
      id: 'atomic-writes',
      says: /in two samples 3 s apart on 3 servers .*every 10 s.*may not have been seen/,
      severity: 'ok',
      when: 'none was seen',
    },
  ])
})
