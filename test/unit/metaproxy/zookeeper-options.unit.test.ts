import assert from 'node:assert/strict'

import {systemClock} from '../../../src/lib/clock.js'
import {isMigratorError} from '../../../src/lib/errors.js'
import {normalizePath, parseZooKeeperAuth, parseZooKeeperHosts} from '../../../src/lib/metaproxy/zookeeper-options.js'
import {ZooKeeperStore} from '../../../src/lib/metaproxy/zookeeper-store.js'

const isBadOption = (error: unknown) => isMigratorError(error, 'zk.bad_option')

describe('ZooKeeper options', () => {
  it('splits servers and chroot', () => {
    const cases: [string, string[], string][] = [
      ['zk1:2181', ['zk1:2181'], ''],
      ['zk1:2181,zk2:2182', ['zk1:2181', 'zk2:2182'], ''],
      [' zk1:2181 , zk2:2182,', ['zk1:2181', 'zk2:2182'], ''],
      ['zk1:2181/', ['zk1:2181'], ''],
      ['zk1:2181,zk2:2181/a/b/', ['zk1:2181', 'zk2:2181'], '/a/b'],
    ]
    for (const [hosts, servers, base] of cases) assert.deepEqual(parseZooKeeperHosts(hosts), {base, servers}, hosts)
  })

  for (const hosts of [
    '',
    ',',
    '/root',
    'zk1',
    'zk1:2181,zk2',
    'zk1:0',
    'zk1:65536',
    '[::1]:2181',
    'zk1:2181/a/../b',
  ]) {
    it(`refuses ${JSON.stringify(hosts)} as servers`, () => {
      assert.throws(() => parseZooKeeperHosts(hosts), isBadOption)
      assert.throws(() => new ZooKeeperStore({clock: systemClock, hosts, root: '/r'}), isBadOption)
    })
  }

  it('normalizes paths', () => {
    const cases = [
      ['/', ''],
      ['a', '/a'],
      ['//a///b/', '/a/b'],
      ['/pegasus-metaproxy', '/pegasus-metaproxy'],
    ]
    for (const [path, normal] of cases) assert.equal(normalizePath(path!), normal)
  })

  for (const path of ['/a/./b', '/..', '/a\0b', '/a\u009Fb', '/a\n']) {
    it(`refuses ${JSON.stringify(path)} as a path`, () => {
      assert.throws(() => normalizePath(path), isBadOption)
    })
  }

  it('reads a login, colons in the password included', () => {
    assert.deepEqual(parseZooKeeperAuth('digest:admin:a:b'), {credentials: 'admin:a:b', scheme: 'digest'})
  })

  for (const text of [
    '',
    'digest',
    'digest:',
    'digest:admin',
    'digest:admin:',
    'digest::secret',
    'ip:10.0.0.1',
    'admin:secret',
  ]) {
    it(`refuses ${JSON.stringify(text)} as a login and does not repeat it`, () => {
      assert.throws(
        () => parseZooKeeperAuth(text),
        (error) => isBadOption(error) && !(error as Error).message.includes('secret'),
      )
    })
  }
})
