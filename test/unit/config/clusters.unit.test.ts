import assert from 'node:assert/strict'
import {parseClusters, readClusters} from '../../../src/lib/config/clusters.js'
import {isMigratorError} from '../../../src/lib/errors.js'
import {ExitCode} from '../../../src/lib/exit-codes.js'

const FILE = 'clusters.json'
const parse = (value: unknown) => parseClusters(typeof value === 'string' ? value : JSON.stringify(value), FILE)

describe('the clusters file', () => {
  it('names clusters, with and without a metaproxy', () => {
    const clusters = parse({
      $schema: 'anything',
      clusters: {
        beijing: {
          cluster: 'cluster-a',
          metas: ['a:1', 'b:2'],
          proxies: ['p:1'],
          zookeeper: {hosts: ['zk1:2181', 'zk2:2181'], root: '/pegasus-metaproxy'},
        },
        shanghai: {metas: ['c:3'], zookeeper: {hosts: 'zk3:2181/chroot', root: '/r'}},
        tianjin: {metas: ['d:4']},
      },
    })
    assert.deepEqual(
      [...clusters],
      [
        [
          'beijing',
          {
            cluster: 'cluster-a',
            metas: ['a:1', 'b:2'],
            proxies: ['p:1'],
            zookeeperHosts: 'zk1:2181,zk2:2181',
            zookeeperRoot: '/pegasus-metaproxy',
          },
        ],
        [
          'shanghai',
          {cluster: 'shanghai', metas: ['c:3'], proxies: [], zookeeperHosts: 'zk3:2181/chroot', zookeeperRoot: '/r'},
        ],
        ['tianjin', {cluster: 'tianjin', metas: ['d:4'], proxies: []}],
      ],
    )
  })

  const one = (cluster: unknown) => ({clusters: {beijing: cluster}})
  const wrong: [string, unknown, RegExp][] = [
    [
      'no JSON',
      '{\n  "clusters": {\n    "a": nothing\n  }\n}',
      /clusters file clusters\.json(, line 3, column \d+)?: not JSON/,
    ],
    ['a list', [], /clusters\.json: a list; expected an object/],
    ['nothing in it', {}, /no "clusters"; expected \{"clusters"/],
    ['clusters as a list', {clusters: []}, /, clusters: a list; expected an object/],
    ['no cluster', {clusters: {}}, /, clusters: no cluster is named/],
    ['another member', {cluster: {}, clusters: {}}, /, cluster: nothing is known by that name; expected "clusters"/],
    ['a name that no cluster has', {clusters: {'a b': {}}}, /, clusters\.a b: "a b" is not a cluster name/],
    ['a cluster that is no object', one('a:1'), /, clusters\.beijing: a string; expected an object/],
    ['no metas', one({}), /, clusters\.beijing: no "metas"; expected a list of host:port/],
    ['metas as a text', one({metas: 'a:1,b:2'}), /, clusters\.beijing\.metas: a string; expected a list of host:port/],
    ['empty metas', one({metas: []}), /, clusters\.beijing\.metas: an empty list/],
    ['a meta without a port', one({metas: ['a:1', 'b']}), /, clusters\.beijing\.metas\[1\]: "b" is not host:port/],
    ['a meta that is a number', one({metas: [34601]}), /metas\[0\]: a number; expected a text/],
    [
      'two metas in one place',
      one({metas: ['a:1,b:2']}),
      /metas\[0\]: "a:1,b:2" is several; each address has a place of its own/,
    ],
    ['a meta twice', one({metas: ['a:1', 'a:1']}), /, clusters\.beijing\.metas: "a:1" is there twice/],
    [
      'a misspelled member',
      one({meta: ['a:1'], metas: ['a:1']}),
      /, clusters\.beijing\.meta: nothing is known by that name; expected "cluster", "metas", "proxies", "zookeeper"/,
    ],
    [
      'a wrong cluster name',
      one({cluster: 'a b', metas: ['a:1']}),
      /, clusters\.beijing\.cluster: "a b" is not a cluster name/,
    ],
    ['null', one({cluster: null, metas: ['a:1']}), /, clusters\.beijing\.cluster: null; expected a text/],
    ['a wrong proxy', one({metas: ['a:1'], proxies: ['p']}), /, clusters\.beijing\.proxies\[0\]: "p" is not host:port/],
    [
      'ZooKeeper without a root',
      one({metas: ['a:1'], zookeeper: {hosts: 'z:1'}}),
      /, clusters\.beijing\.zookeeper: no "root"/,
    ],
    [
      'a root that is no path',
      one({metas: ['a:1'], zookeeper: {root: 'r'}}),
      /, clusters\.beijing\.zookeeper\.root: "r" is not a ZooKeeper path/,
    ],
    [
      'wrong ZooKeeper hosts',
      one({metas: ['a:1'], zookeeper: {hosts: 'z:x', root: '/r'}}),
      /, clusters\.beijing\.zookeeper\.hosts: "z:x" is/,
    ],
  ]
  for (const [what, value, message] of wrong) {
    it(`refuses ${what}, and says where and what was expected`, () => {
      assert.throws(
        () => parse(value),
        (error) => {
          assert.ok(isMigratorError(error, 'config.invalid'))
          assert.match(error.message, message)
          assert.equal(error.exitCode, ExitCode.usage)
          assert.match(error.next!, /docs\/clusters-file\.md/)
          return true
        },
      )
    })
  }

  it('says which file is not there', async () => {
    await assert.rejects(readClusters('/nowhere/at/all.json'), (error) => {
      assert.ok(isMigratorError(error, 'config.missing'))
      assert.match(error.message, /there is no clusters file \/nowhere\/at\/all\.json/)
      return true
    })
  })

  it('says why a file cannot be read', async () => {
    await assert.rejects(readClusters('/'), (error) => isMigratorError(error, 'config.unreadable'))
  })
})
