import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {mayPass, patiently, waitUntil} from '../../../src/lib/migration/wait.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

/* On a clock that does not begin at 0: a sum in the place of a difference shows. */

const trouble = new MigratorError('rpc.timeout', 'no answer')

async function bed() {
  const clock = new VirtualClock()
  await clock.advance(50_000)
  const {signal} = new AbortController()
  const sinceMs = () => clock.nowMs() - 50_000
  return {clock, signal, sinceMs}
}

async function failing(clock: VirtualClock, promise: Promise<unknown>): Promise<MigratorError> {
  try {
    await clock.run(promise)
  } catch (error) {
    assert.ok(error instanceof MigratorError, String(error))
    return error
  }

  throw new assert.AssertionError({message: 'it did not fail'})
}

describe('waitUntil, to the millisecond', () => {
  const options = {describe: String, done: () => false, intervalMs: 400, limitMs: 1000, stage: 'test'}

  it('looks at its limit once more, and not after it', async () => {
    const {clock, signal, sinceMs} = await bed()
    const looks: number[] = []
    const observe = async () => {
      looks.push(sinceMs())
      return looks.length
    }

    const error = await failing(clock, waitUntil({...options, clock, observe, signal}))
    assert.deepEqual(looks, [0, 400, 800, 1000])
    assert.equal(error.message, 'test: not there after 1 s; last seen: 4')
    assert.deepEqual(error.facts, {limitMs: 1000, stage: 'test'})
    assert.equal(error.cause, undefined)
  })

  it('says when nothing could be read, and hears of each trouble', async () => {
    const {clock, signal} = await bed()
    const heard: MigratorError[] = []
    const observe = () => Promise.reject<number>(trouble)
    const error = await failing(
      clock,
      waitUntil({...options, clock, observe, onTrouble: (each) => void heard.push(each), signal}),
    )
    assert.equal(
      error.message,
      'test: not there after 1 s; last seen: nothing could be read; the last look failed: no answer',
    )
    assert.deepEqual(heard, [trouble, trouble, trouble, trouble])
  })

  it('forgets a trouble that has passed', async () => {
    const {clock, signal} = await bed()
    let looks = 0
    const observe = async () => {
      if (++looks === 1) throw trouble
      return 7
    }

    const error = await failing(clock, waitUntil({...options, clock, observe, signal}))
    assert.equal(error.message, 'test: not there after 1 s; last seen: 7')
  })

  it('shows what it sees, the last thing too', async () => {
    const {clock, signal} = await bed()
    const shown: number[] = []
    let looks = 0
    const seen = waitUntil({
      ...options,
      clock,
      done: (n: number) => n === 2,
      observe: async () => ++looks,
      signal,
      onProgress: (n) => void shown.push(n),
    })
    assert.equal(await clock.run(seen), 2)
    assert.deepEqual(shown, [1, 2])
  })

  /** @returns when, and after how long, the rule was asked */
  async function stallsOf(figures: string[], limitMs: number): Promise<[number, number, string | undefined][]> {
    const {clock, signal, sinceMs} = await bed()
    const stalls: [number, number, string | undefined][] = []
    let looks = 0
    const observe = async () => {
      const figure = figures[Math.min(looks++, figures.length - 1)]!
      if (figure === 'fails') throw trouble
      return figure
    }

    const stall = {
      figure: (text: string) => text,
      limitMs: 800,
      async onStall(seen: string | undefined, stalledForMs: number) {
        stalls.push([sinceMs(), stalledForMs, seen])
      },
    }
    await failing(clock, waitUntil<string>({...options, clock, limitMs, observe, signal, stall}))
    return stalls
  }

  it('asks the stall rule after its limit, and again after as long', async () => {
    assert.deepEqual(await stallsOf(['a'], 2000), [
      [800, 800, 'a'],
      [1600, 800, 'a'],
    ])
  })

  it('begins anew with each change of the figure', async () => {
    assert.deepEqual(await stallsOf(['a', 'a', 'b', 'c'], 2000), [[2000, 800, 'c']])
  })

  it('counts from the begin where nothing could ever be read', async () => {
    assert.deepEqual(await stallsOf(['fails'], 1200), [[800, 800, undefined]])
  })

  it('takes a figure that cannot be read for one that stands still', async () => {
    assert.deepEqual(await stallsOf(['a', 'fails'], 1200), [[800, 800, 'a']])
  })
})

describe('patiently', () => {
  it('tries each second, for a minute and no more', async () => {
    const {clock, signal, sinceMs} = await bed()
    const tries: number[] = []
    const error = await failing(
      clock,
      patiently({clock, signal}, () => {
        tries.push(sinceMs())
        return Promise.reject(trouble)
      }),
    )
    assert.equal(error, trouble)
    assert.deepEqual(tries.slice(0, 3), [0, 1000, 2000])
    assert.equal(tries.at(-1), 61_000)
  })

  it('gives what comes of it in the end', async () => {
    const {clock, signal, sinceMs} = await bed()
    let tries = 0
    const attempt = async () => {
      if (++tries < 4) throw trouble
      return 'done'
    }

    assert.equal(await clock.run(patiently({clock, signal}, attempt)), 'done')
    assert.equal(sinceMs(), 3000)
  })

  it('throws at once what cannot pass', async () => {
    const {clock, signal, sinceMs} = await bed()
    const gone = new MigratorError('meta.error', 'gone', {facts: {err: 'ERR_APP_DROPPED'}})
    assert.equal(
      await failing(
        clock,
        patiently({clock, signal}, () => Promise.reject(gone)),
      ),
      gone,
    )
    assert.equal(sinceMs(), 0)
  })

  it('ends with the reason of its signal', async () => {
    const {clock} = await bed()
    const controller = new AbortController()
    const reason = new MigratorError('stopped', 'stop')
    const attempt = async () => {
      controller.abort(reason)
      throw trouble
    }

    assert.equal(await failing(clock, patiently({clock, signal: controller.signal}, attempt)), reason)
  })
})

describe('what may pass', () => {
  it('is trouble with servers and ZooKeeper, nothing else', () => {
    const codes = [
      'http.status',
      'meta.error',
      'meta.no_leader',
      'observe.x',
      'rpc.connect',
      'server.error',
      'zk.timeout',
    ]
    for (const code of codes) assert.equal(mayPass(new MigratorError(code, '')), true, code)
    for (const code of ['rpc.aborted', 'lock.lost', 'journal.write_failed', 'xrpc.connect', 'usage'])
      assert.equal(mayPass(new MigratorError(code, '')), false, code)
  })

  it('is no answer of a meta that stays', () => {
    const err = (name: string, code = 'meta.error') => mayPass(new MigratorError(code, '', {facts: {err: name}}))
    for (const name of ['ACL_DENY', 'APP_DROPPED', 'APP_NOT_EXIST', 'INVALID_PARAMETERS', 'OBJECT_NOT_FOUND'])
      assert.equal(err(`ERR_${name}`), false, name)
    assert.equal(err('ERR_BUSY'), true)
    assert.equal(err('ERR_OBJECT_NOT_FOUND', 'server.error'), true)
  })
})
