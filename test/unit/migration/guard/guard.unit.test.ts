import assert from 'node:assert/strict'

import {MigratorError} from '../../../../src/lib/errors.js'
import type {LockNote} from '../../../../src/lib/metaproxy/shared-lock.js'
import {type DriverStage, GuardChannel} from '../../../../src/lib/migration/guard/channel.js'
import {guardCutover, type GuardEnd} from '../../../../src/lib/migration/guard/guard.js'
import {DriversLock} from '../../../../src/lib/migration/guard/other-holder.js'
import {DuplicationStatus} from '../../../../src/lib/rpc/structs/duplication.js'
import {MemoryFiles} from '../../../support/memory-files.js'
import {DENY, FIRST, ScriptedMigration} from '../../../support/scripted-migration.js'

const BASE = '/journals/users@b'
const other: LockNote = {command: 'migrate', host: 'there', pid: 5, sinceMs: 1, token: 'theirs'} as never
const passing = () => new MigratorError('meta.error', 'it may pass')

/** A guard beside a source that a driver has denied; the driver beats once and is silent from then on. */
class Scene {
  beats = 0
  readonly files = new MemoryFiles()
  readonly channel = new GuardChannel('/journals', 'users', 'b', this.files)
  holder: (() => LockNote | undefined) | undefined
  isDead = true
  readonly script = new ScriptedMigration()
  /** What the guard told of itself, as `state: text`. */
  readonly told: string[] = []

  constructor({node = true} = {}) {
    const {context, source} = this.script
    source.envs.set(DENY, 'reconfig*write')
    source.answers = ['refusing', 'refusing']
    source.status = DuplicationStatus.DS_PAUSE
    if (!node) context.store = undefined
    const {replace} = this.files
    this.files.replace = async (path, text) => {
      await replace.call(this.files, path, text)
      if (!path.endsWith('.guard')) return
      const {state, text: words} = JSON.parse(text) as {state: string; text: string}
      this.told.push(`${state}: ${words}`)
    }
  }

  beat(stage: DriverStage = 'armed'): Promise<void> {
    return this.channel.beat(++this.beats, stage)
  }

  beatsUntil(ms: number): void {
    void this.beat()
    if (this.script.clock.nowMs() < ms) this.script.clock.setTimer(1000, () => this.beatsUntil(ms))
  }

  watch(): Promise<GuardEnd> {
    const {channel, script} = this
    const {clock, context} = script
    const locks = {holder: async () => this.holder?.()} as never
    return guardCutover({
      channel,
      clock,
      context,
      isDriverDead: async () => this.isDead,
      lock: new DriversLock({clock, locks, table: 'users', token: 'ours'}),
      pid: 12,
      signal: script.abort.signal,
    })
  }

  end(): Promise<GuardEnd> {
    return this.script.run(this.watch())
  }

  get states(): string[] {
    return this.told.map((text) => text.split(':')[0]!)
  }

  get journal(): string[] {
    return this.script.records.map((record) =>
      record.kind === 'guard' ? `${record.state}: ${record.text}` : record.kind,
    )
  }
}

describe('the guard', () => {
  it('says that it watches, since when and in which process', async () => {
    const scene = new Scene()
    await scene.beat('dismissed')
    const {clock} = scene.script
    const {channel} = scene
    const seen: unknown[] = []
    const {tell} = channel
    channel.tell = async (status) => {
      seen.push(status)
      await tell.call(channel, status)
    }

    await scene.end()
    assert.deepEqual(seen, [{pid: 12, sinceMs: clock.wallMs(), state: 'watching', text: 'the driver beats'}])
    assert.equal(scene.journal[0], 'watching: the driver beats')
  })

  it('does nothing while the driver beats, and leaves with all of its files when it is dismissed', async () => {
    const scene = new Scene()
    await scene.channel.claim('word')
    scene.beatsUntil(60_000)
    scene.script.clock.setTimer(60_100, () => void scene.beat('dismissed'))
    assert.equal(await scene.end(), 'dismissed')
    assert.equal(scene.script.clock.nowMs(), 60_500)
    assert.deepEqual([scene.script.performed, scene.script.asked], [[], []])
    assert.deepEqual([...scene.files.texts.keys()], [])
    assert.equal(scene.journal.at(-1), 'gone: the driver said that it is no longer needed')
  })

  it('lifts the deny when the driver has been silent for more than 5 s', async () => {
    const scene = new Scene()
    await scene.beat()
    const {clock} = scene.script
    let liftedAtMs = 0
    scene.script.onEffect = ({kind}) => {
      if (kind === 'lift-deny') liftedAtMs = clock.nowMs()
    }

    assert.equal(await scene.end(), 'lifted')
    assert.equal(liftedAtMs, 5500)
    assert.deepEqual(scene.script.kinds, ['take-commit-away', 'resume-duplication', 'lift-deny'])
    assert.deepEqual(scene.told, [
      'watching: the driver beats',
      'acting: the driver has been silent for 5 s: the deny is taken back',
      'lifted: every primary accepts writes again',
    ])
    assert.equal(scene.journal.at(-1), 'gone: nobody denied writes again')
    const started = scene.script.events.find(({type}) => type === 'undo-started')
    assert.equal((started as {reason: string}).reason, 'the guard heard nothing from the driver')
  })

  it('counts from the last beat that was another one', async () => {
    const scene = new Scene()
    scene.beatsUntil(10_000)
    let atMs = 0
    scene.script.onEffect = () => {
      atMs ||= scene.script.clock.nowMs()
    }

    await scene.end()
    assert.equal(atMs, 15_500)
  })

  it('takes a beat that cannot be read for one that was not heard', async () => {
    const scene = new Scene()
    scene.files.texts.set(`${BASE}.beat`, '{')
    assert.equal(await scene.end(), 'lifted')
  })

  it('puts the config sync interval back, and tells when it cannot', async () => {
    const setting = (name: string) =>
      ({before: '30000', kind: 'set-server-config', name, server: FIRST, side: 'source', value: '1000'}) as const
    for (const broken of [false, true]) {
      const scene = new Scene()
      scene.script.context.hints.settings.push(setting('config_sync_interval_ms'), setting('other'))
      scene.script.onEffect = ({kind}) => {
        if (broken && kind === 'set-server-config') throw new TypeError('a bug')
      }

      assert.equal(await scene.end(), 'lifted')
      const back = scene.script.performed.filter(({kind}) => kind === 'set-server-config')
      assert.deepEqual(
        back.map((effect) => 'name' in effect && `${effect.name} ${effect.value}`),
        broken ? [] : ['config_sync_interval_ms 30000'],
      )
      const how = broken ? '; the config sync interval could not be put back: a bug' : ''
      assert.equal(scene.told.at(-1), `lifted: every primary accepts writes again${how}`)
    }
  })

  describe('never lifts', () => {
    it('what the node names the target of', async () => {
      const scene = new Scene()
      scene.script.writeNode('b')
      assert.equal(await scene.end(), 'switched')
      assert.deepEqual(scene.script.kinds, [])
      assert.equal(scene.told.at(-1), 'switched: the node names the target: nothing is lifted')
      assert.equal(scene.journal.at(-1), 'gone: there is only forward')
      assert.deepEqual([...scene.files.texts.keys()], [])
    })

    it('without a node, once the word was given', async () => {
      const scene = new Scene({node: false})
      await scene.channel.claim('word')
      assert.equal(await scene.end(), 'switched')
      assert.deepEqual(scene.script.kinds, [])
      assert.equal(scene.told.at(-1), 'switched: the operator gave the word that applications move: nothing is lifted')
    })

    it('without a claim that the driver must ask for', async () => {
      const scene = new Scene({node: false})
      scene.isDead = false
      assert.equal(await scene.end(), 'lifted')
      assert.deepEqual(scene.script.kinds, ['resume-duplication', 'lift-deny'])
      assert.equal(await scene.channel.claimant(), 'guard')
    })
  })

  describe('and a claim that cannot be had', () => {
    const full = (scene: Scene, untilMs: number) => {
      const {createExclusively} = scene.files
      scene.files.createExclusively = (path, text) =>
        scene.script.clock.nowMs() < untilMs
          ? Promise.reject(new Error('ENOSPC'))
          : createExclusively.call(scene.files, path, text)
    }

    it('goes by the node where there is one', async () => {
      const scene = new Scene()
      full(scene, Number.POSITIVE_INFINITY)
      assert.equal(await scene.end(), 'lifted')
      assert.equal(scene.states.includes('alarmed'), false)
    })

    it('insists on it where there is none', async () => {
      const scene = new Scene({node: false})
      full(scene, 9000)
      assert.equal(await scene.end(), 'lifted')
      assert.equal(scene.told.filter((text) => /^alarmed: the guard's file .*\.claim: ENOSPC$/.test(text)).length, 2)
    })
  })

  describe('stays at it', () => {
    it('while the deny cannot be lifted, and sounds each alarm once', async () => {
      const scene = new Scene()
      scene.script.onEffect = ({kind}) => {
        if (kind === 'lift-deny' && scene.script.clock.nowMs() < 30_000) throw passing()
      }

      assert.equal(await scene.end(), 'lifted')
      assert.deepEqual(scene.states, ['watching', 'acting', 'alarmed', 'lifted'])
      assert.match(scene.told[2]!, /^alarmed: ALARM: users may still be write-denied/)
    })

    it('beyond a quarter of an hour', async () => {
      const scene = new Scene()
      scene.script.onEffect = ({kind}) => {
        if (kind === 'lift-deny' && scene.script.clock.nowMs() < 1_200_000) throw passing()
      }

      assert.equal(await scene.end(), 'lifted')
      assert.equal(scene.script.told.filter((told) => told === 'undo-started').length, 1)
    })

    it('when an undo gives up, every 2 s', async () => {
      const scene = new Scene()
      const atMs: number[] = []
      scene.script.onEffect = ({kind}) => {
        if (kind === 'lift-deny' && atMs.push(scene.script.clock.nowMs()) < 3) throw new TypeError('a bug')
      }

      assert.equal(await scene.end(), 'lifted')
      assert.deepEqual(atMs, [5500, 7500, 9500])
      assert.deepEqual(scene.states, ['watching', 'acting', 'alarmed', 'alarmed', 'lifted'])
      assert.equal(scene.told[2], 'alarmed: a bug')
    })
  })

  describe('looks on', () => {
    it('while another command holds the lock, every 2 s, and says so once', async () => {
      const scene = new Scene()
      const asked: number[] = []
      scene.holder = () => {
        asked.push(scene.script.clock.nowMs())
        return scene.script.clock.nowMs() < 20_000 ? other : undefined
      }

      assert.equal(await scene.end(), 'lifted')
      assert.deepEqual(asked.slice(0, 3), [5500, 7500, 9500])
      assert.deepEqual(scene.states, ['watching', 'yielding', 'acting', 'lifted'])
      assert.equal(
        scene.told[1],
        'yielding: process 5 on there (migrate) works on the table: the write-deny is taken back there',
      )
    })

    it('and not because its own driver holds it', async () => {
      const scene = new Scene()
      scene.holder = () => ({...other, token: 'ours'})
      assert.equal(await scene.end(), 'lifted')
      assert.equal(scene.states.includes('yielding'), false)
    })

    it('while nobody can tell whether another command works on the table', async () => {
      const scene = new Scene()
      scene.holder = () => {
        if (scene.script.clock.nowMs() < 20_000) throw new MigratorError('zk.unreachable', 'nothing answers')
        return undefined
      }

      let liftedAtMs = 0
      scene.script.onEffect = () => {
        liftedAtMs ||= scene.script.clock.nowMs()
      }

      assert.equal(await scene.end(), 'lifted')
      assert.ok(liftedAtMs >= 20_000 && liftedAtMs <= 22_000, String(liftedAtMs))
      assert.deepEqual(scene.states, ['watching', 'alarmed', 'acting', 'lifted'])
      assert.equal(scene.told[1], 'alarmed: whether another command works on the table cannot be told: nothing answers')
    })

    it('when another command comes while it is at it', async () => {
      const scene = new Scene()
      const {script} = scene
      script.onEffect = ({kind}) => {
        if (kind !== 'lift-deny' || script.clock.nowMs() > 20_000) return
        scene.holder = () => (script.clock.nowMs() < 20_000 ? other : undefined)
        throw new TypeError('a bug')
      }

      assert.equal(await scene.end(), 'lifted')
      assert.deepEqual(scene.states, ['watching', 'acting', 'yielding', 'acting', 'lifted'])
    })
  })

  describe('when it has lifted', () => {
    it('leaves behind a dead driver once nothing of it can take place any more', async () => {
      const scene = new Scene()
      assert.equal(await scene.end(), 'lifted')
      assert.equal(scene.script.clock.nowMs(), 5500 + 15_500)
      assert.deepEqual([...scene.files.texts.keys()], [])
    })

    it('stays for 2 min beside a driver that may wake up, and leaves it the claim', async () => {
      const scene = new Scene()
      scene.isDead = false
      assert.equal(await scene.end(), 'lifted')
      assert.equal(scene.script.clock.nowMs(), 5500 + 120_500)
      assert.deepEqual([...scene.files.texts.keys()], [`${BASE}.claim`])
    })

    it('lifts once more what a driver denied that woke up', async () => {
      const scene = new Scene()
      scene.isDead = false
      const {clock, source} = scene.script
      clock.setTimer(50_000, () => {
        source.envs.set(DENY, 'reconfig*write')
        source.answers = ['refusing', 'refusing']
      })
      assert.equal(await scene.end(), 'lifted')
      assert.equal(scene.script.kinds.filter((kind) => kind === 'lift-deny').length, 2)
      assert.equal(source.envs.has(DENY), false)
      assert.equal(clock.nowMs(), 50_000 + 120_500)
    })

    it('leaves what somebody else denies, and bears a meta that does not answer', async () => {
      const scene = new Scene()
      scene.isDead = false
      const {clock, source} = scene.script
      clock.setTimer(50_000, () => source.envs.set(DENY, 'timeout*write'))
      scene.script.onAsk = (question) => {
        if (question === 'source table' && clock.nowMs() > 40_000 && clock.nowMs() < 45_000) throw passing()
      }

      assert.equal(await scene.end(), 'lifted')
      assert.equal(scene.script.kinds.filter((kind) => kind === 'lift-deny').length, 1)
    })

    it('ends with what cannot pass', async () => {
      const scene = new Scene()
      scene.isDead = false
      scene.script.onAsk = (question) => {
        if (question === 'source table') throw new TypeError('a bug')
      }

      await assert.rejects(scene.end(), /a bug/)
    })

    it('goes away at once when the driver wakes up and dismisses it', async () => {
      const scene = new Scene()
      scene.isDead = false
      scene.script.clock.setTimer(50_000, () => void scene.beat('dismissed'))
      assert.equal(await scene.end(), 'dismissed')
      assert.equal(scene.script.clock.nowMs(), 50_000)
    })
  })

  it('does its work on a full disk, and tells each thing where it can', async () => {
    const scene = new Scene()
    scene.script.onAsk = (question) => {
      if (question.startsWith('journal')) throw new Error('ENOSPC')
    }

    assert.equal(await scene.end(), 'lifted')
    assert.deepEqual(scene.states, ['watching', 'acting', 'lifted'])
    const failures = scene.script.events.filter((event) => event.type === 'warning')
    assert.deepEqual(
      failures,
      Array.from({length: 4}).fill({code: 'journal.write_failed', message: 'ENOSPC', type: 'warning'}),
    )
  })

  it('ends with its signal', async () => {
    const scene = new Scene()
    scene.beatsUntil(60_000)
    scene.script.clock.setTimer(10_000, () => scene.script.abort.abort(new Error('SIGTERM')))
    await assert.rejects(scene.end(), /SIGTERM/)
    assert.deepEqual(scene.script.kinds, [])
  })
})
