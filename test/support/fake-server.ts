import type {Duplex} from 'node:stream'

import type {AnyCall, Call} from '../../src/lib/rpc/calls.js'
import {
  decodeArguments,
  decodeRequest,
  encodeResponse,
  requestLength,
  type RequestHead,
} from '../../src/lib/rpc/frame.js'

/** One request that a fake server got, and all ways to answer it or not. */
export interface ReceivedCall<Q, S> {
  /** Ends the connection without an answer. */
  cut(): void
  fail(error: string): void
  head: RequestHead
  /** Bytes of the whole reply, to send by hand. */
  replyBytes(value: S): Buffer
  request: Q
  reply(value: S): void
  stream: Duplex
}

type Handler = (call: ReceivedCall<never, unknown>) => void

/**
 * The server's end of a connection, with every answer in the test's hands. A call that nobody handles gets
 * ERR_HANDLER_NOT_FOUND, as from a real server.
 */
export class FakeServer {
  connections = 0
  readonly open = new Set<Duplex>()
  /** Names of the calls that arrived, in order. */
  readonly received: string[] = []
  private readonly handlers = new Map<string, {call: AnyCall; handler: Handler}>()

  readonly accept = (stream: Duplex): void => {
    let bytes: Buffer = Buffer.alloc(0)
    this.connections++
    this.open.add(stream)
    stream.on('error', () => stream.destroy())
    stream.on('close', () => this.open.delete(stream))
    stream.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      for (
        let length = requestLength(bytes);
        length !== undefined && bytes.length >= length;
        length = requestLength(bytes)
      ) {
        this.answer(stream, bytes.subarray(0, length))
        bytes = bytes.subarray(length)
      }
    })
  }

  on<Q, S>(call: Call<Q, S>, handler: (call: ReceivedCall<Q, S>) => void): this {
    this.handlers.set(call.name, {call, handler})
    return this
  }

  /** Answers every such call with the same value. */
  always<Q, S>(call: Call<Q, S>, value: S): this {
    return this.on(call, (received) => received.reply(value))
  }

  private answer(stream: Duplex, bytes: Buffer): void {
    const {args, head} = decodeRequest(bytes)
    this.received.push(head.name)
    const send = (message: Buffer) => {
      if (!stream.destroyed) stream.write(message)
    }

    const handled = this.handlers.get(head.name)
    if (!handled) {
      send(encodeResponse(head.name, head.seqid, 'ERR_HANDLER_NOT_FOUND'))
      return
    }

    const {call, handler} = handled
    const replyBytes = (value: unknown) =>
      encodeResponse(head.name, head.seqid, 'ERR_OK', {type: call.response, value: value as never})
    handler({
      cut: () => stream.destroy(),
      fail: (error) => send(encodeResponse(head.name, head.seqid, error)),
      head,
      reply: (value) => send(replyBytes(value)),
      replyBytes,
      request: decodeArguments(call.request, args) as never,
      stream,
    })
  }
}
