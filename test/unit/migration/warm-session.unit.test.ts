import assert from 'node:assert/strict'

import {assertNothingLost} from '../../simulation/judge.js'
import {Simulation, type SimulationOptions} from '../../simulation/simulation.js'

/* Opening a session with ZooKeeper takes 20 to 200 ms, a connection a way there and back: not while writes are denied. */

describe('sessions and connections of a cutover', function () {
  this.timeout(60_000)
  let simulation: Simulation
  afterEach(() => simulation.stop())

  /** When the driver opened sessions, and what the cutover did when; `Clock.nowMs`. */
  async function cutover(options: SimulationOptions, onDeny?: () => void) {
    simulation = await Simulation.open(options)
    const {clock} = simulation
    const opened: number[] = []
    const at: Record<string, number> = {}
    const driver = simulation.migrate({
      onEvent(event) {
        if (event.type !== 'effect') return
        at[`${event.effect.kind} ${event.state}`] ??= clock.nowMs()
        if (event.effect.kind === 'deny' && event.state === 'done') onDeny?.()
      },
    })
    simulation.onSession = (life) => {
      if (life === driver.life) opened.push(clock.nowMs())
    }

    const connected: {address: string; atMs: number}[] = []
    const {transport} = driver.life
    const connect = transport.connect.bind(transport)
    transport.connect = (address, signal, receive) => {
      // A page by HTTP has a connection of its own each time, and nobody to give the pieces to.
      if (receive) connected.push({address, atMs: clock.nowMs()})
      return connect(address, signal, receive)
    }

    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'migrated', result.error?.message)
    const isWithin = (ms: number) => ms >= at['deny begin']! && ms <= at['close-source done']!
    const newlyConnected = connected.filter(({atMs}) => isWithin(atMs)).map(({address}) => address)
    return {connected, newlyConnected, opened, within: opened.filter((ms) => isWithin(ms))}
  }

  for (const denyMode of ['reconfig', 'timeout'] as const) {
    it(`are open before the deny, and no new one is opened until the source is closed (${denyMode})`, async () => {
      const {connected, newlyConnected, opened, within} = await cutover({denyMode})
      assert.ok(opened.length > 0)
      assert.deepEqual(within, [])
      // Metas, every server of both sides, and the metaproxy.
      assert.ok(connected.length >= simulation.source.servers.length + simulation.target.servers.length + 3)
      assert.deepEqual(newlyConnected, [])
    })
  }

  it('are replaced when they expire, and the switch does not fail for it', async () => {
    const {within} = await cutover({guard: false}, () => simulation.zookeeper.expireWithoutNodes())
    assert.equal(within.length, 1)
    await assertNothingLost(simulation, 'target')
  })

  it('do not outlive the migration', async () => {
    await cutover({guard: false})
    await simulation.pass(1000)
    assert.equal(simulation.zookeeper.sessionCount, 0)
  })
})
