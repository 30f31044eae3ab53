import {malformed} from '../rpc/memory-transport.js'
import {excerpt} from '../rpc/rpc-errors.js'
import {arrayOf, checkValues, numberIn, objectOf, textIn} from './json.js'

export interface DuplicationProgress {
  /** K: stored by meta. */
  confirmedDecree: number
  dupid: number
  remoteClusterName: string
  /** L: acknowledged by the target (`replica_confirmed_decree`, in spite of its name). */
  shippedDecree: number
}

/** Decrees of one replica on one server (protocol.md §4.6). */
export interface ReplicaProgress {
  appId: number
  /** Empty on secondaries and where the server has not learnt of a duplication. */
  duplications: DuplicationProgress[]
  isPrimary: boolean
  lastAppliedDecree: number
  lastCommittedDecree: number
  maxPreparedDecree: number
  partitionIndex: number
}

/** The role is left out for a replica that was asked for and is not there. */
const HEAD = /^ {4}(\d+)\.(\d+)@\S+?(?:@([A-Z]+))? : (.*)$/

/**
 * Reads the text of the remote command `replica.query-progress`: a line of counts, then for each replica
 * `    <table id>.<partition>@<server>@<P or S> : ` and JSON over several lines.
 * @throws MigratorError rpc.malformed
 */
export function parseProgress(text: string): ReplicaProgress[] {
  checkValues(text, 'replica.query-progress')
  const result: ReplicaProgress[] = []
  const lines = text.split('\n')
  if (!/^\d+ processed, \d+ not found/.test(lines[0] ?? '')) throw malformed(`replica.query-progress: ${excerpt(text)}`)
  for (let index = 1; index < lines.length;) {
    const head = HEAD.exec(lines[index]!)
    index++
    if (!head?.[3]) continue
    const json = [head[4]!]
    while (index < lines.length && !HEAD.test(lines[index]!)) json.push(lines[index++]!)
    const replica = objectOf(parse(json.join('\n')), 'replica')
    const duplications = replica.duplications === undefined ? [] : arrayOf(replica.duplications, 'duplications')
    result.push({
      appId: Number(head[1]),
      duplications: duplications.map((entry) => readDuplication(objectOf(entry, 'duplication'))),
      isPrimary: head[3] === 'P',
      lastAppliedDecree: numberIn(replica, 'last_applied_decree'),
      lastCommittedDecree: numberIn(replica, 'last_committed_decree'),
      maxPreparedDecree: numberIn(replica, 'max_prepared_decree'),
      partitionIndex: Number(head[2]),
    })
  }

  return result
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (error) {
    throw malformed(`replica.query-progress: ${excerpt(json)}`, error)
  }
}

function readDuplication(entry: Record<string, unknown>): DuplicationProgress {
  return {
    confirmedDecree: numberIn(entry, 'meta_persisted_decree'),
    dupid: numberIn(entry, 'dupid'),
    remoteClusterName: textIn(entry, 'remote_cluster_name'),
    shippedDecree: numberIn(entry, 'replica_confirmed_decree'),
  }
}
