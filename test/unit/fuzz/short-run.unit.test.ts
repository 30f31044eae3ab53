import assert from 'node:assert/strict'

import {corpusTargets, readCorpus} from '../../fuzz/corpus.js'
import {targets} from '../../fuzz/targets/index.js'
import {watchedRound} from '../../fuzz/watch.js'

const ROUND_MS = 500
/** Another one each day: what it finds is printed with its seed. */
const seed = Math.floor(Date.now() / 86_400_000)

const whys = (findings: readonly {why: string}[]) => findings.map(({why}) => why)

describe('hostile bytes', function () {
  this.timeout(60_000)

  for (const {name} of targets) {
    it(`${name}: the kept inputs and half a second of new ones, seed ${seed}`, async () => {
      const {findings, inputs} = await watchedRound(name, {corpus: readCorpus(name), milliseconds: ROUND_MS, seed})
      assert.deepEqual(
        findings.map(({input, why}) => `${why}: ${Buffer.from(input).toString('base64')}`),
        [],
      )
      assert.ok(inputs > readCorpus(name).length, `${inputs} inputs`)
    })
  }

  it('keeps inputs for targets that there are', () => {
    const names = new Set(targets.map(({name}) => name))
    assert.deepEqual(
      corpusTargets().filter((name) => !names.has(name)),
      [],
    )
    assert.ok(corpusTargets().length >= names.size / 2)
  })
})

describe('the fuzzer', function () {
  this.timeout(60_000)
  const round = (name: string, limits?: {hangMs?: number; heapMb?: number}) =>
    watchedRound(name, {corpus: [], milliseconds: 500, seed: 1}, limits)

  it('finds an exception that is none of ours', async () => {
    const {findings} = await round('planted-alien')
    assert.match(whys(findings).join('\n'), /none of ours: TypeError: not one of ours/)
  })

  it('finds a hang, and the input that hangs', async () => {
    const {findings} = await round('planted-hang', {hangMs: 1000})
    assert.deepEqual(whys(findings), ['no end after 1000 ms'])
    assert.match(findings[0]!.input.toString('utf8'), /\}/)
  })

  it('finds what takes too long', async () => {
    assert.match(whys((await round('planted-slow')).findings).join('\n'), /^\d{4} ms/)
  })

  it('finds what takes too much memory at once', async () => {
    assert.match(whys((await round('planted-memory')).findings).join('\n'), /\d{9} bytes of memory/)
  })

  it('survives what fills all memory', async () => {
    const {findings} = await round('planted-flood', {hangMs: 30_000, heapMb: 64})
    assert.match(whys(findings).join('\n'), /ERR_WORKER_OUT_OF_MEMORY|memory limit/)
  })

  it('finds nothing where there is nothing', async () => {
    const {findings, inputs} = await round('planted-none')
    assert.deepEqual(findings, [])
    assert.ok(inputs > 100)
  })
})
