import assert from 'node:assert/strict'

import {
  askedServers,
  duplicationName,
  duplicationsToTarget,
  isResume,
  metaAddresses,
  namesOf,
  nodeNamesTarget,
  ownDuplication,
} from '../../../src/lib/migration/preflight/clusters.js'
import {dumpOf, duplicationOf, healthyFacts, nodeOf} from './healthy-facts.js'

/** The target of master's, which duplicates as `b`. */
function named(...names: (string | undefined)[]) {
  const facts = healthyFacts()
  facts.target.metas = names.map((name, index) => ({
    address: `10.0.1.${index}:34601`,
    given: true,
    version: '',
    ...(name === undefined
      ? {}
      : {
          dump: dumpOf('onebox2', ({replication}) => {
            replication.dup_cluster_name = name
          }),
        }),
  }))
  return facts
}

describe('names of a cluster', () => {
  it('are what its metas duplicate by, and what it reports', () => {
    assert.equal(duplicationName(named('b').target), 'b')
    assert.equal(duplicationName(named(undefined, 'b', 'c').target), 'b')
    assert.equal(duplicationName(named(undefined).target), 'onebox2')
    assert.deepEqual(namesOf(named('b').target), ['onebox2', 'b'])
    assert.deepEqual(namesOf(healthyFacts().target), ['onebox2'])
  })

  it('are none that are empty', () => {
    const {target} = named(undefined)
    target.info.clusterName = ''
    assert.deepEqual(namesOf(target), [])
  })

  it('go with the addresses of its metas, as given and as it names them', () => {
    const {source} = healthyFacts()
    source.info.metaServers = ['10.0.0.2:34601', '10.0.0.3:34601']
    assert.deepEqual(metaAddresses(source), ['10.0.0.1:34601', '10.0.0.2:34601', '10.0.0.3:34601'])
  })
})

describe('what preflight knows of a migration', () => {
  it('comes from servers that could be asked', () => {
    const facts = healthyFacts()
    facts.source.servers[1]!.unreachable = new Error('refused') as never
    assert.deepEqual(
      askedServers(facts).map(({address}) => address),
      ['10.0.0.1:34801', '10.0.0.3:34801'],
    )
  })

  it('is a duplication to the target, by each of its names', () => {
    const facts = named('b')
    const remotes = ['onebox2', 'b', 'asked', 'c']
    facts.request.targetCluster = 'asked'
    facts.source.duplications = remotes.map((remote, dupid) => duplicationOf({dupid, remote}))
    assert.deepEqual(
      duplicationsToTarget(facts).map(({remote}) => remote),
      ['onebox2', 'b', 'asked'],
    )
    const own = (ownDupid?: number) => ownDuplication({...facts, ...(ownDupid === undefined ? {} : {ownDupid})})?.dupid
    assert.deepEqual([own(1), own(3), own(9), own()], [1, undefined, undefined, undefined])
  })

  it('is an earlier run, by anything that the journal tells', () => {
    const facts = healthyFacts()
    assert.equal(isResume(facts), false)
    assert.equal(isResume({...facts, ownHandOver: false}), false)
    for (const change of [{ownDupid: 0}, {ownDeny: 'timeout*write'}, {ownHandOver: true}])
      assert.equal(isResume({...facts, ...change}), true, JSON.stringify(change))
  })

  it('is a node that names the target, by each of its names or one of its metas', () => {
    const facts = named('b')
    facts.request.targetCluster = 'asked'
    const names = (name: string) => {
      facts.metaproxy!.node = nodeOf(name, ['10.0.9.9:34601'])
      return nodeNamesTarget(facts)
    }

    const [meta] = facts.request.targetMetas
    facts.metaproxy!.node = nodeOf('its-other-name', ['10.0.9.9:34601', meta!])
    assert.equal(nodeNamesTarget(facts), true)

    assert.deepEqual(['asked', 'onebox2', 'b', 'onebox'].map(names), [true, true, true, false])
    facts.metaproxy!.node = undefined
    assert.equal(nodeNamesTarget(facts), false)
    facts.metaproxy = undefined
    assert.equal(nodeNamesTarget(facts), false)
  })
})
