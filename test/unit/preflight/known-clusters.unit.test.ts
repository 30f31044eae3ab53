import type {PreflightFacts} from '../../../src/lib/migration/preflight/check.js'
import {testCases} from './cases.js'
import {type DumpText, dumpOf, makeMaster} from './healthy-facts.js'

const withoutTarget = (text: DumpText) => {
  delete text['duplication-group'].onebox2
}

const namesTarget = (metas: string) => (text: DumpText) => {
  text['pegasus.clusters'].onebox2 = metas
}

function changeSource(facts: PreflightFacts, change: (text: DumpText) => void): void {
  for (const server of [...facts.source.metas, ...facts.source.servers]) server.dump = dumpOf('onebox', change)
}

describe('preflight: what the clusters know of each other', () => {
  testCases([
    {
      change() {},
      id: 'source-metas-know-target',
      says: /^all 2 metas of the source know onebox2/,
      severity: 'ok',
      when: 'they do',
    },
    {
      change({source}) {
        source.metas[1]!.dump = dumpOf('onebox', withoutTarget)
      },
      id: 'source-metas-know-target',
      says: /^\[duplication-group] has no onebox2 on 10\.0\.0\.2:34601$/,
      severity: 'error',
      when: 'one meta does not know the id',
    },
    {
      change({source}) {
        source.metas[0]!.dump = dumpOf('onebox', namesTarget(''))
      },
      id: 'source-metas-know-target',
      says: /^\[pegasus\.clusters] has no onebox2 on 10\.0\.0\.1:34601$/,
      severity: 'error',
      when: 'the address is empty, as a failed add leaves it',
    },
    {
      change({source}) {
        source.metas[0]!.dump = dumpOf('onebox', namesTarget('10.9.9.9:34601,10.9.9.8:34601'))
      },
      id: 'source-metas-know-target',
      says: /names none of the target's metas on 10\.0\.0\.1:34601/,
      severity: 'error',
      when: 'it names other metas',
    },
    {
      change({source}) {
        source.metas[0]!.dump = dumpOf('onebox', namesTarget('10.0.1.1:34601,10.9.9.9:34601'))
      },
      id: 'source-metas-know-target',
      says: /names 10\.9\.9\.9:34601, which is no meta of the target/,
      severity: 'warning',
      when: 'it names one that is none',
    },
    {
      change({source}) {
        source.metas[0]!.dump = dumpOf('onebox', namesTarget('10.0.1.1'))
      },
      id: 'source-metas-know-target',
      says: /has 10\.0\.1\.1, which is not host:port/,
      severity: 'error',
      when: 'the port is missing',
    },
    {
      change(facts) {
        facts.source.metas[0]!.dump = dumpOf('onebox', namesTarget('meta-b:34601'))
        facts.addresses.set('meta-b:34601', '10.0.1.1:34601')
      },
      id: 'source-metas-know-target',
      says: /host names \(meta-b:34601\) where 2\.5 wants ip:port/,
      severity: 'warning',
      when: 'it names a host on 2.5',
    },
    {
      change(facts) {
        makeMaster(facts)
        changeSource(facts, namesTarget('meta-b:34601'))
        facts.addresses.set('meta-b:34601', '10.0.1.1:34601')
      },
      id: 'source-metas-know-target',
      says: /^all 2 metas/,
      severity: 'ok',
      when: 'it names a host on master',
    },
    {
      change({source}) {
        source.metas[1]!.dump = dumpOf('onebox', ({replication}) => {
          replication.duplication_enabled = 'false'
        })
      },
      id: 'source-metas-know-target',
      says: /duplication_enabled is false on 10\.0\.0\.2:34601/,
      severity: 'error',
      when: 'duplication is switched off',
    },
    {
      change({source}) {
        source.metas[1] = {address: '10.0.0.2:34601', error: new Error('refused'), given: true, version: ''}
      },
      id: 'source-metas-know-target',
      says: /not read \(refused\) on 10\.0\.0\.2:34601/,
      severity: 'warning',
      when: 'a follower does not answer',
    },
    {
      change({source}) {
        source.metas[0] = {address: '10.0.0.1:34601', error: new Error('ERR_ACL_DENY'), given: true, version: ''}
      },
      id: 'source-metas-know-target',
      says: /not read \(ERR_ACL_DENY\) on 10\.0\.0\.1:34601/,
      severity: 'error',
      when: 'the leader does not tell',
    },
    {
      change({source}) {
        source.servers[2]!.dump = dumpOf('onebox', withoutTarget)
      },
      id: 'source-servers-know-target',
      says: /has no onebox2 on 10\.0\.0\.3:34801/,
      severity: 'error',
      when: 'one server does not know the id',
    },
    {
      change({source}) {
        source.servers[2]!.dump = undefined
        source.servers[2]!.failures.set('dump', new Error('timed out'))
      },
      id: 'source-servers-know-target',
      says: /not read \(timed out\) on 10\.0\.0\.3:34801/,
      severity: 'error',
      when: 'one server does not tell',
    },
    {
      change({source}) {
        const idle = {...source.servers[0]!, address: '10.0.0.4:34801', dump: dumpOf('onebox', withoutTarget)}
        source.otherServers = [{...idle, primaryOf: [], replicaOf: []}]
      },
      id: 'source-servers-know-target',
      says: /has no onebox2 on 10\.0\.0\.4:34801/,
      severity: 'warning',
      when: 'a server without the table does not know it',
    },
    {
      change: (facts) =>
        changeSource(facts, (text) => {
          delete text['duplication-group'].onebox
        }),
      id: 'source-servers-know-target',
      says: /has no onebox on 10\.0\.0\.1:34801, 10\.0\.0\.2:34801, 10\.0\.0\.3:34801/,
      severity: 'error',
      when: 'they do not know their own id',
    },
    {
      change: (facts) =>
        changeSource(facts, (text) => {
          withoutTarget(text)
          text.replication.dup_ignore_other_cluster_ids = 'true'
        }),
      id: 'source-servers-know-target',
      says: /^all 3 servers/,
      severity: 'ok',
      when: 'they ignore the ids of others',
    },
    {
      change() {},
      id: 'target-knows-source',
      says: /^all 3 servers of the target know the id of onebox$/,
      severity: 'ok',
      when: 'it does',
    },
    {
      change({target}) {
        target.servers[1]!.dump = dumpOf('onebox2', (text) => {
          delete text['duplication-group'].onebox
        })
      },
      id: 'target-knows-source',
      says: /has no onebox on 10\.0\.1\.2:34801/,
      severity: 'error',
      when: 'one server does not know the id',
    },
    {
      change({target}) {
        target.servers[1]!.dump = dumpOf('onebox2', (text) => {
          delete text['duplication-group'].onebox
          text.replication.dup_ignore_other_cluster_ids = 'true'
        })
      },
      id: 'target-knows-source',
      says: /^all 3/,
      severity: 'ok',
      when: 'it ignores the ids of others',
    },
    {
      change({target}) {
        target.servers[1]!.dump = undefined
        target.servers[1]!.failures.set('dump', new Error('timed out'))
      },
      id: 'target-knows-source',
      says: /not read \(timed out\)/,
      severity: 'error',
      when: 'a living server does not tell',
    },
    {
      change({target}) {
        target.servers[1] = {
          ...target.servers[1]!,
          alive: false,
          dump: undefined,
          unreachable: 'the metas list it as unalive',
        }
      },
      id: 'target-knows-source',
      says: /unalive\) on 10\.0\.1\.2:34801/,
      severity: 'warning',
      when: 'a dead server cannot tell',
    },
    {
      change() {},
      id: 'cluster-ids',
      says: /^onebox: 1 on all 10; onebox2: 2 on all 10$/,
      severity: 'ok',
      when: 'they agree',
    },
    {
      change({target}) {
        target.servers[0]!.dump = dumpOf('onebox2', (text) => {
          text['duplication-group'].onebox = '3'
        })
      },
      id: 'cluster-ids',
      says: /onebox: .*3 on 10\.0\.1\.1:34801.*not the same everywhere/,
      severity: 'error',
      when: 'a server has another number',
    },
    {
      change: (facts) =>
        changeSource(facts, (text) => {
          text['duplication-group'].onebox2 = '1'
        }),
      id: 'cluster-ids',
      says: /not the same everywhere/,
      severity: 'error',
      when: 'the sides disagree',
    },
  ])
})
