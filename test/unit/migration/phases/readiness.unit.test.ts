import assert from 'node:assert/strict'

import {ShipRates} from '../../../../src/lib/migration/phases/readiness.js'
import type {ShippingView} from '../../../../src/lib/migration/proof/shipping.js'

/** `[lag, shipped]` of partition 0, 1, … */
function view(...partitions: [lagMutations: number, shippedDecree: number][]): ShippingView {
  return {
    partitions: new Map(
      partitions.map(([lagMutations, shippedDecree], partitionIndex) => [
        partitionIndex,
        {lagMutations, partitionIndex, server: `s:${partitionIndex}`, shippedDecree},
      ]),
    ),
  } as unknown as ShippingView
}

const worst = (partitionIndex: number, shipMs: number) => ({partitionIndex, server: `s:${partitionIndex}`, shipMs})

describe('the time that a backlog takes', () => {
  it('is none where nothing but what rests is left', () => {
    const rates = new ShipRates(1)
    assert.deepEqual(rates.sample(view([1, 100], [0, 200]), 1000), worst(0, 0))
    assert.deepEqual(rates.sample(view([1, 100], [1, 200]), 2000), worst(0, 0))
    assert.equal(new ShipRates(1).sample(view(), 0), undefined)
  })

  it('is not known before a second look', () => {
    assert.deepEqual(new ShipRates(1).sample(view([2, 100]), 1000), worst(0, Number.POSITIVE_INFINITY))
  })

  it('goes by what each partition has shipped since the first look', () => {
    const rates = new ShipRates(1)
    rates.sample(view([301, 100], [11, 200]), 5000)
    assert.deepEqual(rates.sample(view([301, 110], [11, 210]), 6000), worst(0, 30_000))
    assert.deepEqual(rates.sample(view([301, 160], [11, 210]), 7000), worst(0, 10_000))
    assert.deepEqual(rates.sample(view([1, 460], [11, 220]), 9000), worst(1, 2000))
  })

  it('is that of the first one where two take as long', () => {
    const rates = new ShipRates(0)
    rates.sample(view([10, 0], [10, 0]), 0)
    assert.deepEqual(rates.sample(view([10, 10], [10, 10]), 1000), worst(0, 1000))
    assert.deepEqual(rates.sample(view([1, 10], [10, 10]), 1000), worst(1, 1000))
    assert.deepEqual(rates.sample(view([10, 10], [1, 10]), 1000), worst(0, 1000))
  })

  it('has no end where nothing was shipped, or less than before', () => {
    for (const shipped of [100, 90]) {
      const rates = new ShipRates(1)
      rates.sample(view([5, 100]), 1000)
      assert.deepEqual(rates.sample(view([5, shipped]), 2000), worst(0, Number.POSITIVE_INFINITY))
    }
  })

  it('has no end for a partition that was not there at the first look', () => {
    const rates = new ShipRates(1)
    rates.sample(view([0, 100]), 1000)
    assert.deepEqual(rates.sample(view([0, 100], [5, 50]), 2000), worst(1, Number.POSITIVE_INFINITY))
  })

  it('is known from the second look at a partition on, whenever that began to report', () => {
    const rates = new ShipRates(0)
    rates.sample(view(), 0)
    rates.sample(view([1, 50]), 3_600_000)
    assert.deepEqual(rates.sample(view([1, 60]), 3_602_000), worst(0, 200))
  })

  it('begins anew with a primary that ships again from the confirmed decree', () => {
    const rates = new ShipRates(0)
    rates.sample(view([0, 100]), 0)
    assert.deepEqual(rates.sample(view([10, 90]), 2000), worst(0, Number.POSITIVE_INFINITY))
    assert.deepEqual(rates.sample(view([5, 95]), 4000), worst(0, 2000))
  })

  it('is the time between two looks at most where all that was there at the first is shipped: it has just come', () => {
    const rates = new ShipRates(1)
    rates.sample(view([1, 100]), 0)
    // One write in ten minutes, and it is on its way.
    assert.deepEqual(rates.sample(view([2, 100]), 600_000), worst(0, 600_000))
    assert.deepEqual(rates.sample(view([1, 101]), 602_000), worst(0, 0))
    assert.deepEqual(rates.sample(view([2, 101]), 604_000), worst(0, 2000))
    assert.deepEqual(rates.sample(view([3, 101]), 606_000), worst(0, 1_212_000))
  })
})
