import {sleep} from '../../../src/lib/clock.js'
import {type Call, dataCalls} from '../../../src/lib/rpc/calls.js'
import {createWriter} from '../../../src/lib/rpc/protocol.js'
import {encodeWrapped} from '../../../src/lib/rpc/codec.js'
import type {DecodedRequest} from '../../../src/lib/rpc/frame.js'
import {StorageStatus} from '../../../src/lib/rpc/structs/rrdb.js'
import {type Reply, reply, type WireServer} from '../rpc-dispatch.js'
import * as apply from './apply.js'
import {counterName} from './counters.js'
import {gateWrite, gpidText} from './gate.js'
import {origin} from './reads.js'
import type {Replica} from './replica.js'
import type {ReplicaServer} from './server.js'

/** What a write logs and, once committed, does and answers. */
interface Plan<S> {
  /** Runs at commit; tells the answer. */
  commit: (decree: number) => S
  /** Logged in place of the request: master makes atomic writes idempotent (protocol.md §8.5). */
  logged?: {args: Buffer; taskCode: string}
}

/** An answer that needs no decree, or a plan. */
type Planned<S> = {answer: S} | Plan<S>

/** Registers every write RPC (protocol.md §8.2). Each takes one decree; real servers may put several into one. */
export function registerWrites(server: ReplicaServer, wire: WireServer): void {
  const on = <Q, S>(
    call: Call<Q, S>,
    counter: string,
    idempotent: boolean,
    plan: (replica: Replica, request: Q) => Planned<S>,
  ) => {
    wire.on(call, (request, message) =>
      serve(server, call.name, message, {counter, idempotent}, (r) => plan(r, request)),
    )
  }

  const now = () => server.world.expireNow()
  const ended = (replica: Replica, decree: number) => ({decree, ...origin(replica)})

  on(dataCalls.put, 'put_qps', true, (replica, request) => ({
    commit(decree) {
      apply.applyPut(replica.partition.rows, request)
      return {error: StorageStatus.ok, ...ended(replica, decree)}
    },
  }))
  on(dataCalls.remove, 'remove_qps', true, (replica, key) => ({
    commit(decree) {
      replica.partition.rows.remove(key)
      return {error: StorageStatus.ok, ...ended(replica, decree)}
    },
  }))
  on(dataCalls.multiPut, 'multi_put_qps', true, (replica, request) => ({
    commit: (decree) => ({error: apply.applyMultiPut(replica.partition.rows, request), ...ended(replica, decree)}),
  }))
  on(dataCalls.multiRemove, 'multi_remove_qps', true, (replica, request) => ({
    commit: (decree) => ({...apply.applyMultiRemove(replica.partition.rows, request), ...ended(replica, decree)}),
  }))
  on(dataCalls.incr, 'incr_qps', false, (replica, request) => {
    const {rows} = replica.partition
    const finish = (result: apply.IncrResult, decree: number) => {
      if (result.put) apply.applyPut(rows, result.put)
      return {error: result.error, newValue: result.newValue, ...ended(replica, decree)}
    }

    if (!replica.atomicIdempotent) return {commit: (decree) => finish(apply.incr(rows, request, now()), decree)}
    const result = apply.incr(rows, request, now())
    if (!result.put) return {answer: finish(result, -1)}
    return {commit: (decree) => finish(result, decree), logged: asPut(result.put)}
  })
  on(dataCalls.checkAndSet, 'check_and_set_qps', false, (replica, request) => {
    const {rows} = replica.partition
    const finish = (result: apply.CheckResult, decree: number) => {
      if (result.error === StorageStatus.ok) apply.applyPut(rows, apply.setOf(request))
      return {...result, ...ended(replica, decree)}
    }

    if (!replica.atomicIdempotent) return {commit: (decree) => finish(apply.check(rows, request, now()), decree)}
    const result = apply.check(rows, request, now())
    // A failing check uses no decree there and answers -1 (measured-master.md §7).
    if (result.error !== StorageStatus.ok) return {answer: finish(result, -1)}
    return {commit: (decree) => finish(result, decree), logged: asPut(apply.setOf(request))}
  })
  on(dataCalls.checkAndMutate, 'check_and_mutate_qps', false, (replica, request) => {
    const {rows} = replica.partition
    return {
      commit(decree) {
        const result = apply.check(rows, request, now())
        if (result.error === StorageStatus.ok) apply.applyMutates(rows, request)
        return {...result, ...ended(replica, decree)}
      },
    }
  })
  on(dataCalls.duplicate, 'duplicate_qps', true, (replica, {entries}) => ({
    commit() {
      for (const entry of entries) {
        const id = entry.clusterId ?? 0
        // protocol.md §3.12: an id that is not in [duplication-group] is what makes the sender abort.
        if (!server.config.knowsClusterId(id)) {
          return {error: StorageStatus.invalidArgument, errorHint: 'request cluster id is unconfigured'}
        }

        if (id === server.config.clusterId(server.cluster.name)) {
          return {error: StorageStatus.invalidArgument, errorHint: 'self-duplicating'}
        }

        const error = apply.applyShipped(
          replica.partition.rows,
          entry.taskCode ?? '',
          entry.rawMessage ?? Buffer.alloc(0),
        )
        if (error !== StorageStatus.ok) return {error, errorHint: `unrecognized task code ${entry.taskCode}`}
      }

      return {error: StorageStatus.ok}
    },
  }))
}

function asPut(put: Parameters<typeof apply.applyPut>[1]): {args: Buffer; taskCode: string} {
  const writer = createWriter()
  encodeWrapped(writer, 1, dataCalls.put.request, put)
  return {args: writer.transport.toBuffer(), taskCode: dataCalls.put.name}
}

function serve<S>(
  server: ReplicaServer,
  name: string,
  message: DecodedRequest,
  {counter, idempotent}: {counter: string; idempotent: boolean},
  plan: (replica: Replica) => Planned<S>,
): Promise<Reply<S>> | Reply<S> {
  const verdict = gateWrite(server, message, idempotent)
  if ('refused' in verdict) return verdict.refused
  const {delayMs, replica} = verdict
  if (delayMs === 0) return run(name, replica, message, counter, plan)
  // Held back by throttling: the deny is looked at again afterwards (protocol.md §4.3 step 2).
  return sleep(server.world.clock, delayMs).then(() => {
    const again = gateWrite(server, message, idempotent)
    return 'refused' in again ? again.refused : run(name, again.replica, message, counter, plan)
  })
}

function run<S>(
  name: string,
  replica: Replica,
  message: DecodedRequest,
  counter: string,
  plan: (replica: Replica) => Planned<S>,
): Promise<Reply<S>> | Reply<S> {
  const planned = plan(replica)
  if ('answer' in planned) return reply(planned.answer)
  let done: Reply<S> | undefined
  let finish: ((answer: Reply<S>) => void) | undefined
  const logged = planned.logged ?? {args: Buffer.from(message.args), taskCode: name}
  replica.write({...logged, timestampUs: replica.timestampUs()}, (decree) => {
    const answer = reply(planned.commit(decree))
    countOnAll(replica, counter)
    if (finish) finish(answer)
    else done = answer
  })
  return (
    done ??
    new Promise((resolve) => {
      finish = resolve
    })
  )
}

/** Every replica applies a write, and counts it. */
function countOnAll(replica: Replica, counter: string): void {
  for (const server of replica.server.cluster.servers) {
    if (server.replica(replica.pid)) server.counters.add(counterName(counter, gpidText(replica)))
  }
}
