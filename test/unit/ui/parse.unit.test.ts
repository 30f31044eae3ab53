import assert from 'node:assert/strict'
import {MigratorError} from '../../../src/lib/errors.js'
import {ExitCode} from '../../../src/lib/exit-codes.js'
import {
  parseAddresses,
  parseCheckIds,
  parseClusterName,
  parseCount,
  parseDuration,
  parseRoot,
  parseTableName,
  parseZooKeeper,
} from '../../../src/lib/ui/parse.js'

function refused(parse: (input: string) => unknown, ...inputs: string[]): void {
  for (const input of inputs) {
    assert.throws(
      () => parse(input),
      (error) => error instanceof MigratorError && error.exitCode === ExitCode.usage && error.code === 'usage',
      `${JSON.stringify(input)} was taken`,
    )
  }
}

describe('what flags say', () => {
  it('reads durations with their unit and nothing else', () => {
    assert.deepEqual(
      ['500ms', '120s', '1.5m', '24h', '336h'].map((input) => parseDuration(input)),
      [500, 120_000, 90_000, 86_400_000, 1_209_600_000],
    )
    refused(parseDuration, '', '120', '120 s', '-5s', '0s', '0.1ms', '1h30m', '1d', 's', '1e3s', '337h', '９s', '5S')
  })

  it('reads counts with thousands and millions', () => {
    assert.deepEqual(
      ['0', '10000', '10K', '10k', '2M'].map((input) => parseCount(input)),
      [0, 10_000, 10_000, 10_000, 2_000_000],
    )
    refused(parseCount, '', '1.5K', '-1', '1G', '1e4', '99999999999999999999', ' 1')
  })

  it('reads lists of addresses, none twice, none empty', () => {
    assert.deepEqual(parseAddresses('10.0.0.1:34601, meta-2:34602'), ['10.0.0.1:34601', 'meta-2:34602'])
    refused(
      parseAddresses,
      '',
      ',',
      'a:1,',
      'a',
      'a:',
      'a:0',
      'a:65536',
      'a:1;b:2',
      'a:1 b:2',
      'a:1,a:1',
      'http://a:1',
      'a b:1',
    )
  })

  it('takes the names that servers take', () => {
    for (const name of ['users', 'a.b:c_d-9', '0']) assert.equal(parseTableName(name), name)
    refused(parseTableName, '', '-users', 'a/b', '..', '.', 'a b', 'a\n', 'ü', 'x'.repeat(256), '$(id)')
    for (const name of ['cluster-b', 'onebox2']) assert.equal(parseClusterName(name), name)
    refused(parseClusterName, '', '-c', 'a/b', 'a b', '"a"', 'x'.repeat(256))
  })

  it('takes absolute ZooKeeper paths', () => {
    assert.deepEqual(
      ['/', '/pegasus-metaproxy', '/a/b'].map((path) => parseRoot(path)),
      ['/', '/pegasus-metaproxy', '/a/b'],
    )
    refused(parseRoot, '', 'a', '/a/', '//', '/a//b', '/a/../b', '/.', '/a b', '/a\u0000')
  })

  it('takes ZooKeeper servers, with a path too', () => {
    for (const hosts of ['zk1:2181', 'zk1:2181,zk2:2181', 'zk1:2181/chroot']) assert.equal(parseZooKeeper(hosts), hosts)
    refused(parseZooKeeper, '', 'zk1', 'zk1:0', '/chroot')
  })

  it('takes names of checks', () => {
    assert.deepEqual(parseCheckIds('direct-clients,group-check'), ['direct-clients', 'group-check'])
    refused(parseCheckIds, '', 'a,', 'A', 'a--b', '-a')
  })
})
