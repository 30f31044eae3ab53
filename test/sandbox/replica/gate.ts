import type {DecodedRequest} from '../../../src/lib/rpc/frame.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'
import {rpcError} from '../rpc-dispatch.js'
import {counterName} from './counters.js'
import type {Replica} from './replica.js'
import type {ReplicaServer} from './server.js'

/** Why a request is not served, or how long it is held back. */
type Verdict = {delayMs: number; replica: Replica} | {refused: 'silence' | {error: string}}

const refuse = (error: string): Verdict => ({refused: rpcError(error)})

function denied(how: 'reconfig' | 'timeout'): Verdict {
  return how === 'reconfig' ? refuse('ERR_INVALID_STATE') : {refused: 'silence'}
}

/** The checks of a client's write in the servers' order (protocol.md §6.2). */
export function gateWrite(server: ReplicaServer, message: DecodedRequest, idempotent: boolean): Verdict {
  return counted(server, 'write', judgeWrite(server, message, idempotent))
}

function judgeWrite(server: ReplicaServer, message: DecodedRequest, idempotent: boolean): Verdict {
  const replica = server.replica(message.head.pid)
  if (!replica) return refuse('ERR_OBJECT_NOT_FOUND')
  if (server.denyAll) return {refused: 'silence'}
  if (replica.deny?.write) return denied(replica.deny.how)
  const limit = server.config.number('max_allowed_write_size')
  if (limit > 0 && message.body.length > limit) return refuse('ERR_INVALID_DATA')
  if (replica.duplicating && !idempotent && !replica.atomicIdempotent) {
    server.counters.add(counterName('dup_disabled_non_idempotent_write_count', gpidText(replica)))
    return refuse('ERR_OPERATION_DISABLED')
  }

  if (!replica.isPrimary) return refuse('ERR_INVALID_STATE')
  if (server.cluster.state.memberCount(replica.pid) < server.config.number('mutation_2pc_min_replica_count')) {
    return refuse('ERR_NOT_ENOUGH_MEMBER')
  }

  return throttled(replica, replica.throttles.write(message.body.length))
}

/** The checks of a client's read in the servers' order (protocol.md §6.2, replica.cpp `on_client_read`). */
export function gateRead(server: ReplicaServer, message: DecodedRequest): Verdict {
  return counted(server, 'read', judgeRead(server, message))
}

function judgeRead(server: ReplicaServer, message: DecodedRequest): Verdict {
  const replica = server.replica(message.head.pid)
  if (!replica) return refuse('ERR_OBJECT_NOT_FOUND')
  if (server.denyAll) return {refused: 'silence'}
  if (replica.deny?.read) return denied(replica.deny.how)
  if (replica.status === PartitionStatus.PS_INACTIVE) return refuse('ERR_INVALID_STATE')
  if (message.head.isBackupRequest) return {delayMs: 0, replica}
  const verdict = throttled(replica, replica.throttles.read())
  if ('refused' in verdict) return verdict
  return replica.isPrimary ? verdict : refuse('ERR_INVALID_STATE')
}

/** Every answer with an error is counted for the whole server (replica_stub.cpp, `response_client`). */
function counted(server: ReplicaServer, kind: 'read' | 'write', verdict: Verdict): Verdict {
  if ('refused' in verdict && verdict.refused !== 'silence') {
    const outcome = verdict.refused.error === 'ERR_BUSY' ? 'busy' : 'fail'
    server.counters.addVolatile(`replica*eon.replica_stub*recent.${kind}.${outcome}.count`)
  }

  return verdict
}

function throttled(replica: Replica, limit: ReturnType<Replica['throttles']['read']>): Verdict {
  if (limit?.kind === 'reject') return refuse('ERR_BUSY')
  return {delayMs: limit?.delayMs ?? 0, replica}
}

export function gpidText(replica: Replica): string {
  return `${replica.pid.appId}.${replica.pid.partitionIndex}`
}
