import {metaCalls} from '../../src/lib/rpc/calls.js'
import {decodeArguments, decodeRequest, encodeResponse, requestLength} from '../../src/lib/rpc/frame.js'
import {type Listener, type SandboxNetwork, tcpNetwork} from '../sandbox/network.js'

/** A meta that knows tables of one partition: name to table id. It answers the config query, nothing else. */
export async function startFakeMeta(
  tables: Record<string, number>,
  network: SandboxNetwork = tcpNetwork(),
): Promise<Listener> {
  return network.listen((stream) => {
    let bytes: Buffer = Buffer.alloc(0)
    stream.on('error', () => stream.destroy())
    stream.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      for (;;) {
        const length = requestLength(bytes)
        if (length === undefined || bytes.length < length) return
        const {args, head} = decodeRequest(bytes.subarray(0, length))
        bytes = bytes.subarray(length)
        const appId = tables[decodeArguments(metaCalls.queryConfig.request, args).appName]
        const value = {
          appId: appId ?? 0,
          err: appId === undefined ? 'ERR_OBJECT_NOT_FOUND' : 'ERR_OK',
          isStateful: true,
          partitionCount: appId === undefined ? 0 : 1,
          partitions: appId === undefined ? [] : [partition(appId)],
        }
        stream.write(encodeResponse(head.name, head.seqid, 'ERR_OK', {type: metaCalls.queryConfig.response, value}))
      }
    })
  })
}

const partition = (appId: number) => ({
  ballot: 1,
  lastCommittedDecree: 0,
  lastDrops: [],
  maxReplicaCount: 3,
  pid: {appId, partitionIndex: 0},
  primary: `127.0.0.1:${10_000 + appId}`,
  secondaries: [],
})
