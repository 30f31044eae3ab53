import {sleep} from '../../src/lib/clock.js'
import type {MigratorError} from '../../src/lib/errors.js'
import {connectionLost} from '../../src/lib/metaproxy/zookeeper-errors.js'
import type {
  OpenSession,
  Session,
  SessionIdentity,
  SessionOptions,
  TransactionPart,
  VersionedBytes,
} from '../../src/lib/metaproxy/zookeeper-session.js'
import type {Life} from './life.js'
import type {ZooKeeperModel} from './zookeeper-model.js'

/** Each way through the network, ms. */
const WAY_MS = 1
const CONNECT_RETRY_MS = 200

/** What becomes of one operation: told by a test, by its name and the process that asks. */
export type SessionFault = 'cut-after' | 'cut-before' | undefined

export interface SessionWorld {
  /** Asked before each operation: `children`, `commit`, `createNumbered`, `getData`, `remove`. */
  fault?(operation: string, life: Life): SessionFault
  model: ZooKeeperModel
  /** Hears of each session that a process opens anew. */
  onOpen?(life: Life): void
}

/** Sessions of a process with the model, in the place of node-zookeeper-client. */
export function sessionsOf(life: Life, world: SessionWorld): OpenSession {
  return (options) => new ModelSession(options, life, world)
}

class ModelSession implements Session {
  private accepted = false
  private ended = false
  private id: string | undefined
  private onEnd: ((error: MigratorError) => void) | undefined

  constructor(
    private readonly options: SessionOptions,
    private readonly life: Life,
    private readonly world: SessionWorld,
  ) {
    life.whenChanged(() => {
      if (this.id === undefined || this.ended) return
      if (!life.isRunning) this.model.silent(this.id)
      else if (this.model.has(this.id)) this.model.heard(this.id)
      else this.fail(connectionLost(options.hosts, 'the session expired'))
    })
  }

  get identity(): SessionIdentity {
    return {id: Buffer.from(this.id ?? '', 'hex'), password: Buffer.alloc(16)}
  }

  get isOver(): boolean {
    return this.ended
  }

  get trouble(): string {
    return this.accepted ? 'it does not answer' : 'ECONNREFUSED'
  }

  get wasAccepted(): boolean {
    return this.accepted
  }

  children(path: string, signal: AbortSignal): Promise<string[]> {
    return this.ask('children', signal, () => this.model.children(path))
  }

  async close(): Promise<void> {
    const {id} = this
    const wasOver = this.ended
    if (!wasOver && id !== undefined && !this.model.down) {
      await sleep(this.life.clock, WAY_MS)
      this.model.end(id)
    }

    this.destroy()
  }

  commit(parts: readonly TransactionPart[], signal: AbortSignal): Promise<void> {
    const writer = `${this.life.machine.name} ${this.life.pid}`
    return this.ask('commit', signal, () => this.model.commit(parts, writer))
  }

  async connect(signal: AbortSignal): Promise<void> {
    while (this.model.down) await sleep(this.life.clock, CONNECT_RETRY_MS, signal)
    await sleep(this.life.clock, WAY_MS, signal)
    this.accepted = true
    const {resume, sessionTimeoutMs} = this.options
    if (resume && !this.model.has(resume.id.toString('hex'))) {
      const expired = connectionLost(this.options.hosts, 'the session expired')
      this.fail(expired)
      throw expired
    }

    if (!resume) this.world.onOpen?.(this.life)
    this.id = resume ? resume.id.toString('hex') : this.model.begin(sessionTimeoutMs)
    this.model.heard(this.id)
  }

  createNumbered(path: string, data: Buffer, signal: AbortSignal): Promise<string> {
    return this.ask('createNumbered', signal, () => this.model.createNumbered(path, data, this.id!))
  }

  destroy(): void {
    if (!this.ended && this.id !== undefined) this.model.silent(this.id)
    this.ended = true
  }

  fail(error: MigratorError): void {
    const wasOver = this.ended
    this.destroy()
    this.onEnd?.(error)
    if (!wasOver) this.options.onLost?.()
  }

  getData(path: string, signal: AbortSignal): Promise<VersionedBytes> {
    return this.ask('getData', signal, () => this.model.getData(path))
  }

  remove(path: string, signal: AbortSignal): Promise<void> {
    return this.ask('remove', signal, () => this.model.remove(path))
  }

  private get model(): ZooKeeperModel {
    return this.world.model
  }

  private ask<T>(operation: string, signal: AbortSignal, work: () => T): Promise<T> {
    const {hosts} = this.options
    return new Promise<T>((resolve, reject) => {
      const finish = (settle: () => void) => {
        signal.removeEventListener('abort', onAbort)
        this.onEnd = undefined
        settle()
      }

      const onAbort = () => {
        finish(() => reject(signal.reason))
        this.destroy()
      }

      if (signal.aborted || this.ended) {
        finish(() => reject(signal.aborted ? signal.reason : connectionLost(hosts)))
        return
      }

      signal.addEventListener('abort', onAbort, {once: true})
      this.onEnd = (error) => finish(() => reject(error))
      const fault = this.world.fault?.(operation, this.life)
      // The request is on its way: what happens to the process no longer stops it.
      this.model.clock.setTimer(WAY_MS, () => {
        if (this.model.down || fault === 'cut-before') {
          this.life.deliver(() => this.fail(connectionLost(hosts, 'the connection was cut')))
          return
        }

        if (this.id !== undefined && !this.model.has(this.id)) {
          this.life.deliver(() => this.fail(connectionLost(hosts, 'the server closed the connection')))
          return
        }

        let settle: () => void
        try {
          const value = work()
          settle = () => finish(() => resolve(value))
        } catch (error) {
          settle = () => finish(() => reject(error))
        }

        const answer = fault === 'cut-after' ? () => this.fail(connectionLost(hosts, 'the connection was cut')) : settle
        this.model.clock.setTimer(WAY_MS, () => this.life.deliver(answer))
      })
    })
  }
}
