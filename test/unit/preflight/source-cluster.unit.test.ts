import {testCases} from './cases.js'
import {dumpOf, makeMaster} from './healthy-facts.js'

describe('preflight: the source cluster', () => {
  testCases([
    {
      change() {},
      id: 'source-cluster',
      says: /^onebox, led by 10\.0\.0\.1:34601, metas 10\.0\.0\.1:34601, 10\.0\.0\.2:34601$/,
      severity: 'ok',
      when: 'all metas answer',
    },
    {
      change({source}) {
        source.metas[1]!.dump = dumpOf('another')
      },
      id: 'source-cluster',
      says: /not metas of onebox: 10\.0\.0\.2:34601/,
      severity: 'error',
      when: 'a meta belongs to another cluster',
    },
    {
      change({source}) {
        source.metas[1] = {address: '10.0.0.2:34601', error: new Error('no connection'), given: true, version: ''}
      },
      id: 'source-cluster',
      says: /10\.0\.0\.2:34601 \(no connection\)/,
      severity: 'warning',
      when: 'a meta is dead',
    },
    {
      change({unread}) {
        unread.set('source.info', new Error('no meta leader'))
      },
      id: 'source-cluster',
      says: /source\.info could not be read: no meta leader/,
      severity: 'error',
      when: 'there is no leader',
    },
    {
      change(facts) {
        facts.request.targetMetas = ['cluster-a:34601', '10.0.1.2:34601']
        facts.addresses.set('cluster-a:34601', '10.0.0.1:34601')
      },
      id: 'different-clusters',
      says: /^cluster-a:34601 is a meta of the source and of the target$/,
      severity: 'error',
      when: 'a meta is named twice, once by a host name',
    },
    {
      change({source, target}) {
        target.info.zookeeperRoot = source.info.zookeeperRoot
      },
      id: 'different-clusters',
      says: /it is one cluster/,
      severity: 'error',
      when: 'both keep their state in one place',
    },
    {change() {}, id: 'different-clusters', says: /share no meta/, severity: 'ok', when: 'they are two'},
    {
      change({source}) {
        source.servers[2]!.unreachable = 'the metas list it as unalive'
        source.nodes[2]!.alive = false
      },
      id: 'source-servers',
      says: /10\.0\.0\.3:34801 \(the metas list it as unalive\)/,
      severity: 'error',
      when: 'a server that hosts the table is dead',
    },
    {
      change({source}) {
        source.servers[0]!.failures.set('version', new Error('GET /version: refused'))
      },
      id: 'source-servers',
      says: /10\.0\.0\.1:34801 \(GET \/version: refused\)/,
      severity: 'error',
      when: 'a server that hosts the table does not speak HTTP',
    },
    {
      change({source}) {
        source.nodes.push({address: '10.0.0.9:34801', alive: false})
      },
      id: 'source-servers',
      says: /10\.0\.0\.9:34801 \(listed unalive\)/,
      severity: 'warning',
      when: 'a server without a replica of the table is dead',
    },
    {
      change() {},
      id: 'source-servers',
      says: /^3 servers of 3 host the table, all alive/,
      severity: 'ok',
      when: 'all answer',
    },
    {
      change({source}) {
        source.info.metaFunctionLevel = 'freezed'
      },
      id: 'source-meta-level',
      says: /freezed/,
      severity: 'warning',
      when: 'the metas do not replace primaries',
    },
    {
      change() {},
      id: 'source-meta-level',
      says: /sets steady and puts lively back/,
      severity: 'ok',
      when: 'it is lively',
    },
    {
      change() {},
      id: 'versions',
      says: /^onebox: 2\.5\.0 on all 5\. onebox2: 2\.5\.0 on all 5$/,
      severity: 'ok',
      when: 'all are 2.5.0',
    },
    {
      change({target}) {
        target.servers[1]!.version = '2.4.0'
      },
      id: 'versions',
      says: /2\.4\.0 on 10\.0\.1\.2:34801.*different releases in onebox2/,
      severity: 'error',
      when: 'an upgrade is half done',
    },
    {
      change({source}) {
        source.servers[0]!.version = '2.5.1'
      },
      id: 'versions',
      says: /different builds in onebox/,
      severity: 'warning',
      when: 'builds differ',
    },
    {
      change({source}) {
        for (const server of [...source.metas, ...source.servers]) server.version = '2.3.0'
      },
      id: 'versions',
      says: /Too old/,
      severity: 'error',
      when: 'the servers cannot copy checkpoints',
    },
    {
      change({source}) {
        source.servers[0]!.version = ''
      },
      id: 'versions',
      says: /not told by 10\.0\.0\.1:34801/,
      severity: 'warning',
      when: 'a server does not tell',
    },
    {
      change: (facts) => makeMaster(facts),
      id: 'versions',
      says: /master to 2\.5: when the reply/,
      severity: 'warning',
      when: 'master duplicates to 2.5',
    },
  ])
})
