import assert from 'node:assert/strict'

import {
  type FigureSource,
  freeSpaceMb,
  requestFigures,
  tableSizeMb,
} from '../../../src/lib/migration/preflight/figures.js'
import type {MetricEntity} from '../../../src/lib/pegasus/server-text.js'

/** A 2.5 server that has these counters. */
function countersOf(counters: Record<string, number>): FigureSource {
  const server = {
    address: '10.0.0.1:34801',
    counters: async (part: string) => new Map(Object.entries(counters).filter(([name]) => name.includes(part))),
  }
  return {appId: 2, client: {}, isMaster: false, limits: {}, server} as unknown as FigureSource
}

/** A master server whose replicas, or disks, have these metrics. */
function metricsOf(entities: Array<Record<string, number>>): FigureSource {
  const replicas = entities.map((values, index): MetricEntity => ({
    attributes: new Map([['partition_id', String(index)]]),
    id: `replica@2.${index}`,
    type: 'replica',
    values: new Map(Object.entries(values)),
  }))
  const disks = entities.map((values) => ({
    attributes: {},
    id: 'disk@d',
    metrics: Object.entries(values).map(([name, value]) => ({name, value})),
    type: 'disk',
  }))
  const http = {get: async () => ({body: JSON.stringify({entities: disks}), status: 200})}
  const server = {address: '10.0.0.1:34801', metrics: async () => replicas}
  return {appId: 2, client: {http}, isMaster: true, limits: {}, server} as unknown as FigureSource
}

describe('figures that preflight reads', () => {
  it('adds up the requests of every primary, of the very table only', async () => {
    const figures = await requestFigures(
      countersOf({
        'replica*app.pegasus*check_and_set_qps@12.0': 900,
        'replica*app.pegasus*duplicate_qps@2.1': 0,
        'replica*app.pegasus*get_qps@2.0': 800,
        'replica*app.pegasus*incr_qps@2.0': 1.5,
        'replica*app.pegasus*incr_qps@2.1': 600,
        'replica*app.pegasus*incr_qps@2.11': 2,
        'replica*app.pegasus*incr_qps@20.1': 700,
      }),
      [0, 11],
    )
    assert.deepEqual(Object.fromEntries(figures), {check_and_mutate: 0, check_and_set: 0, duplicate: 0, incr: 3.5})
  })

  it('reads the metrics of master in their place', async () => {
    const figures = await requestFigures(
      metricsOf([{incr_requests: 5}, {check_and_set_requests: 1, incr_requests: 6}, {incr_requests: 700}]),
      [0, 1],
    )
    assert.deepEqual(Object.fromEntries(figures), {check_and_mutate: 0, check_and_set: 1, duplicate: 0, incr: 11})
  })

  it('takes figures that are not there for unknown, not for 0', async () => {
    for (const source of [countersOf({'replica*app.pegasus*get_qps@2.0': 1}), metricsOf([])]) {
      await assert.rejects(requestFigures(source, [0]), {code: 'preflight.no_figures'})
      await assert.rejects(tableSizeMb(source), {code: 'preflight.no_figures'})
      await assert.rejects(freeSpaceMb(source), {code: 'preflight.no_figures'})
    }
  })

  it('asks no figures of a server without a primary', async () => {
    assert.deepEqual([...(await requestFigures(countersOf({}), [])).values()], [0, 0, 0, 0])
  })

  it('reads sizes and room', async () => {
    const old = countersOf({
      'replica*app.pegasus*disk.storage.sst(MB)@2.0': 30,
      'replica*app.pegasus*disk.storage.sst(MB)@2.1': 12,
      'replica*app.pegasus*disk.storage.sst(MB)@22.1': 500,
      'replica*eon.replica_stub*disk.available.total(MB)': 7000,
    })
    assert.deepEqual([await tableSizeMb(old), await freeSpaceMb(old)], [42, 7000])
    const master = metricsOf([{disk_capacity_avail_mb: 100, rdb_total_sst_size_mb: 4}, {disk_capacity_avail_mb: 50}])
    assert.deepEqual([await tableSizeMb(master), await freeSpaceMb(master)], [4, 150])
  })
})
