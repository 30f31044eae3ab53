import {testCases} from './cases.js'
import {healthyFacts, nodeOf} from './healthy-facts.js'

const targetMetas = ['10.0.1.1:34601', '10.0.1.2:34601']

describe('preflight: metaproxy', () => {
  testCases([
    {
      change() {},
      id: 'metaproxy-node',
      says: /^\/pegasus-metaproxy\/users \(version 3\) names onebox with metas 10\.0\.0\.1:34601, 10\.0\.0\.2:34601$/,
      severity: 'ok',
      when: 'it names the source',
    },
    {
      change(facts) {
        facts.request.metaproxy = undefined
        facts.metaproxy = undefined
      },
      id: 'metaproxy-node',
      says: /no --root/,
      severity: 'skipped',
      when: 'no node is to be switched',
    },
    {
      change(facts) {
        facts.metaproxy = {error: new Error('zookeeper refused the credentials'), store: facts.metaproxy!.store}
      },
      id: 'metaproxy-node',
      says: /\/pegasus-metaproxy\/users on 10\.0\.9\.1:2181 could not be read: zookeeper refused/,
      severity: 'error',
      when: 'ZooKeeper does not let it be read',
    },
    {
      change(facts) {
        facts.metaproxy!.node = nodeOf('onebox2', targetMetas)
      },
      id: 'metaproxy-node',
      says: /names onebox2 .*that is the target already/,
      severity: 'error',
      when: 'it names the target and no run of ours did that',
    },
    {
      change(facts) {
        facts.metaproxy!.node = nodeOf('onebox2', targetMetas)
        facts.ownDupid = 77
      },
      id: 'metaproxy-node',
      says: /^ours: .*an earlier run has switched it/,
      severity: 'ok',
      when: 'an earlier run of ours switched it',
    },
    {
      change(facts) {
        facts.metaproxy!.node = nodeOf('onebox5', ['10.0.0.1:34601'])
      },
      id: 'metaproxy-node',
      says: /names onebox5 .*not the source onebox/,
      severity: 'error',
      when: 'it names a third cluster',
    },
    {
      change(facts) {
        facts.metaproxy!.node = nodeOf('onebox', ['10.7.7.1:34601', '10.7.7.2:34601'])
      },
      id: 'metaproxy-node',
      says: /none of them is a meta of the source/,
      severity: 'error',
      when: 'its metas are not those of the source',
    },
    {
      change(facts) {
        facts.metaproxy!.node = nodeOf('onebox', ['10.0.0.1:34601', '10.7.7.2:34601'])
      },
      id: 'metaproxy-node',
      says: /no meta of the source: 10\.7\.7\.2:34601/,
      severity: 'warning',
      when: 'one of its metas is unknown',
    },
    {
      change({request}) {
        request.targetMetas = ['10.0.1.1:34601']
      },
      id: 'metaproxy-addresses',
      says: /written twice/,
      severity: 'warning',
      when: 'there is one target meta',
    },
    {
      change({request}) {
        request.targetMetas = ['10.0.1.1']
      },
      id: 'metaproxy-addresses',
      says: /not host:port: 10\.0\.1\.1$/,
      severity: 'error',
      when: 'a port is missing',
    },
    {change() {}, id: 'metaproxy-addresses', says: /^2 target metas/, severity: 'ok', when: 'there are two'},
    {
      change(facts) {
        facts.proxies = []
      },
      id: 'metaproxy-proxies',
      says: /cannot be confirmed/,
      severity: 'confirm',
      when: 'none was named',
    },
    {
      change(facts) {
        facts.proxies.push({address: '10.0.8.2:34601', error: new Error('connection refused')})
      },
      id: 'metaproxy-proxies',
      says: /^10\.0\.8\.2:34601: connection refused$/,
      severity: 'error',
      when: 'one does not answer',
    },
    {
      change(facts) {
        facts.proxies[0]!.answer = {appId: 9, partitionCount: 4, primaries: ['10.0.5.1:34801']}
      },
      id: 'metaproxy-proxies',
      says: /answers with table id 9 on 10\.0\.5\.1:34801, the source has table id 2/,
      severity: 'error',
      when: 'one answers with another cluster',
    },
    {
      change(facts) {
        facts.proxies[0]!.answer = {appId: 2, partitionCount: 4, primaries: ['10.0.5.1:34801']}
      },
      id: 'metaproxy-proxies',
      says: /table id 2 on 10\.0\.5\.1:34801/,
      severity: 'error',
      when: 'one answers with the same id on other servers',
    },
    {
      change(facts) {
        facts.metaproxy!.node = nodeOf('onebox2', targetMetas)
        facts.ownDupid = 77
        facts.target.table = {...healthyFacts().source.table, appId: 5}
        facts.proxies[0]!.answer = {appId: 5, partitionCount: 4, primaries: ['10.0.1.1:34801']}
      },
      id: 'metaproxy-proxies',
      says: /the target's table/,
      severity: 'ok',
      when: 'the switch is done and it follows',
    },
    {
      change(facts) {
        facts.source.configuration.appId = 0
      },
      id: 'metaproxy-proxies',
      says: /^the source was not seen to have the table$/,
      severity: 'skipped',
      when: 'nobody told of the table on the source',
    },
    {
      change() {},
      id: 'metaproxy-proxies',
      says: /answering with the source's table/,
      severity: 'ok',
      when: 'all name the source',
    },
    {
      change() {},
      id: 'direct-clients',
      says: /name the metas of onebox themselves \(10\.0\.0\.1:34601, 10\.0\.0\.2:34601\) never follow/,
      severity: 'warning',
      when: 'always',
    },
  ])
})
