import assert from 'node:assert/strict'

import {isMigratorError} from '../../../src/lib/errors.js'
import {allowedEmptyWrites, type Fence, grownFences} from '../../../src/lib/migration/proof/fence.js'
import {movedPrimaries, ownPrimaries} from '../../../src/lib/migration/proof/primaries.js'
import {
  notShipping,
  pendingMutations,
  type PartitionShipping,
  type ShippingView,
} from '../../../src/lib/migration/proof/shipping.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'

const at = (partitionIndex: number, ballot = 3, server = '127.0.0.1:34801') => ({ballot, partitionIndex, server})
const fence = (partitionIndex: number, decree: number): Fence => ({...at(partitionIndex), decree})
const fences = (...all: Fence[]) => new Map(all.map((f) => [f.partitionIndex, f]))

describe('fences', () => {
  it('allow one empty write per group check that began, and one more', () => {
    assert.equal(allowedEmptyWrites(0, 10_000), 1)
    assert.equal(allowedEmptyWrites(9999, 10_000), 1)
    assert.equal(allowedEmptyWrites(20_000, 10_000), 3)
    assert.equal(allowedEmptyWrites(20_000, 100_000), 1)
  })

  it('grow where more was committed than empty writes can explain', () => {
    const before = fences(fence(0, 10), fence(1, 10))
    assert.deepEqual(
      grownFences(before, fences(fence(0, 11), fence(1, 11)), () => 1),
      [],
    )
    assert.deepEqual(
      grownFences(before, fences(fence(0, 11), fence(1, 12)), () => 1),
      [fence(1, 12)],
    )
    assert.deepEqual(
      grownFences(before, fences(fence(0, 11), fence(1, 10)), (partition) => partition),
      [fence(0, 11)],
    )
  })
})

describe('primaries', () => {
  it('moved when the ballot or the server changed', () => {
    const before = new Map([at(0), at(1), at(2)].map((p) => [p.partitionIndex, p]))
    const now = new Map([at(0), at(1, 4), at(2, 3, '127.0.0.1:34802')].map((p) => [p.partitionIndex, p]))
    assert.deepEqual(movedPrimaries(before, now), [1, 2])
  })

  it('are believed only when the server itself agrees with the meta', () => {
    const replica = {
      appType: 'pegasus',
      ballot: 3,
      diskTag: '',
      lastCommittedDecree: 5,
      lastDurableDecree: 0,
      lastPreparedDecree: 5,
      pid: {appId: 2, partitionIndex: 0},
      status: PartitionStatus.PS_PRIMARY,
    }
    assert.equal(ownPrimaries([replica], 2, [at(0)]).get(0)?.lastCommittedDecree, 5)
    const disagreeing = [
      [{...replica, ballot: 4}],
      [{...replica, status: PartitionStatus.PS_SECONDARY}],
      [{...replica, pid: {appId: 20, partitionIndex: 0}}],
      [],
    ]
    for (const replicas of disagreeing) {
      assert.throws(
        () => ownPrimaries(replicas, 2, [at(0)]),
        (error) => isMigratorError(error, 'observe.primary_moving'),
      )
    }
  })
})

describe('shipping', () => {
  const shipping = (partitionIndex: number, extra: Partial<PartitionShipping> = {}): PartitionShipping => ({
    ...at(partitionIndex),
    committedDecree: 10,
    confirmedDecree: 9,
    duplicating: true,
    failMode: 'FAIL_SLOW',
    fenceDecree: 10,
    lagMutations: 1,
    shippedDecree: 9,
    ...extra,
  })
  const view = (...all: PartitionShipping[]): ShippingView => ({
    appId: 2,
    otherDupids: [],
    partitionCount: all.length,
    partitions: new Map(all.map((s) => [s.partitionIndex, s])),
    primaries: new Map(all.map((s) => [s.partitionIndex, s])),
    unreported: [],
  })

  it('does not count the mutation that rests per partition on 2.4 and 2.5', () => {
    const seen = view(shipping(0, {lagMutations: 1}), shipping(1, {lagMutations: 5}), shipping(2, {lagMutations: 0}))
    assert.equal(pendingMutations(seen, '2.5'), 4)
    assert.equal(pendingMutations(seen, '2.4'), 4)
    assert.equal(pendingMutations(seen, 'master'), 6)
  })

  it('is not there while a partition is silent, waits, may skip, or ships for somebody else too', () => {
    assert.equal(notShipping(view(shipping(0), shipping(1))), undefined)
    assert.match(notShipping({...view(shipping(0)), unreported: [1, 2]})!, /partitions 1, 2 do not report/)
    assert.match(
      notShipping(view(shipping(0), shipping(1, {duplicating: false})))!,
      /partition 1 does not ship yet \(server 127/,
    )
    assert.match(notShipping(view(shipping(0, {failMode: 'FAIL_SKIP'})))!, /FAIL_SKIP/)
    assert.equal(notShipping({...view(shipping(0)), otherDupids: [9]}), undefined, 'those of other clusters')
  })
})
