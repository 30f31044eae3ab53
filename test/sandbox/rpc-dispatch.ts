import type {Duplex} from 'node:stream'

import {isMigratorError} from '../../src/lib/errors.js'
import {type Call, serverCalls} from '../../src/lib/rpc/calls.js'
import type {WireType} from '../../src/lib/rpc/codec.js'
import {
  decodeArguments,
  decodeRequest,
  type DecodedRequest,
  encodeResponse,
  requestLength,
} from '../../src/lib/rpc/frame.js'
import {NegotiationStatus} from '../../src/lib/rpc/structs/cluster.js'
import type {FaultOutcome, FaultRules} from './faults.js'
import {badRequest, formatHttpReply, type HttpHandler, parseHttpRequest} from './http.js'

/** An answer of a handler: a result, an RPC-level error without one, or none at all for ever. */
export type Reply<S> = {error: string} | {value: S} | 'silence'

export const reply = <S>(value: S): Reply<S> => ({value})
export const rpcError = (error: string): {error: string} => ({error})

export type Handle<Q, S> = (request: Q, message: DecodedRequest) => Promise<Reply<S>> | Reply<S>

interface Registered {
  response: WireType<unknown>
  run: (message: DecodedRequest) => Promise<Reply<unknown>> | Reply<unknown>
}

export interface WireServerOptions {
  address: () => string
  faults: FaultRules
  http: HttpHandler
  /** Kerberos is demanded: everything but RPC_NEGOTIATION closes the connection (protocol.md §1.7). */
  mandatoryAuth: boolean
  /** Takes the process down (a request that makes real servers abort). */
  onDeath: () => void
}

/** A port of a Pegasus server: RPC and HTTP, told apart by the first four bytes of a connection (protocol.md §1.1). */
export class WireServer {
  private readonly handlers = new Map<string, Registered>()

  constructor(private readonly options: WireServerOptions) {
    this.on(serverCalls.negotiation, (request) => {
      const listing = request.status === NegotiationStatus.SASL_LIST_MECHANISMS
      return options.mandatoryAuth && listing
        ? reply({msg: Buffer.from('GSSAPI'), status: NegotiationStatus.SASL_LIST_MECHANISMS_RESP})
        : reply({msg: Buffer.alloc(0), status: NegotiationStatus.SASL_AUTH_DISABLE})
    })
  }

  on<Q, S>(call: Call<Q, S>, handle: Handle<Q, S>): void {
    const run = (message: DecodedRequest) => handle(decodeArguments(call.request, message.args), message)
    this.handlers.set(call.name, {response: call.response, run})
  }

  accept(stream: Duplex): void {
    let bytes: Buffer = Buffer.alloc(0)
    let kind: 'http' | 'rpc' | undefined
    stream.on('error', () => stream.destroy())
    stream.on('data', (chunk: Buffer) => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
      if (kind === undefined) {
        if (bytes.length < 4) return
        const first = bytes.toString('latin1', 0, 4)
        if (first === 'THFT') kind = 'rpc'
        else if (first === 'GET ' || first === 'POST') kind = 'http'
        else {
          // Any other method is no protocol that it knows: closed at once (measured.md §0).
          stream.destroy()
          return
        }
      }

      try {
        const taken = kind === 'rpc' ? this.takeRequests(stream, bytes) : this.takeHttp(stream, bytes)
        bytes = bytes.subarray(taken)
      } catch {
        // A frame that cannot be read: real servers close the connection (protocol.md §1.1).
        stream.destroy()
      }
    })
  }

  private takeRequests(stream: Duplex, bytes: Buffer): number {
    let taken = 0
    for (;;) {
      const rest = bytes.subarray(taken)
      const length = requestLength(rest)
      if (length === undefined || rest.length < length) return taken
      taken += length
      this.answer(stream, decodeRequest(rest.subarray(0, length))).catch((error: unknown) => {
        stream.destroy()
        // A request that cannot be decoded costs its connection; anything else is a fault of the sandbox: be loud.
        if (!isMigratorError(error, 'rpc.malformed')) throw error
      })
    }
  }

  private async answer(stream: Duplex, message: DecodedRequest): Promise<void> {
    const {name, seqid} = message.head
    if (this.options.mandatoryAuth && name !== serverCalls.negotiation.name) {
      stream.destroy()
      return
    }

    const fault = this.options.faults.take(name, this.options.address())
    if (fault?.kind === 'ignore') return
    if (fault?.kind === 'fail') {
      send(stream, encodeResponse(name, seqid, fault.error))
      return
    }

    const registered = this.handlers.get(name)
    if (!registered) {
      send(stream, encodeResponse(name, seqid, 'ERR_HANDLER_NOT_FOUND'))
      return
    }

    if (fault?.kind === 'late') await this.options.faults.wait(fault.delayMs)
    const running = registered.run(message)
    // Without waiting where nothing waits: replies leave in the order of their requests.
    const outcome = running instanceof Promise ? await running : running
    if (outcome === 'silence' || !(await this.mayAnswer(stream, fault))) return
    send(
      stream,
      'error' in outcome
        ? encodeResponse(name, seqid, outcome.error)
        : encodeResponse(name, seqid, 'ERR_OK', {type: registered.response, value: outcome.value}),
    )
  }

  private takeHttp(stream: Duplex, bytes: Buffer): number {
    let taken = 0
    for (;;) {
      const parsed = parseHttpRequest(bytes.subarray(taken))
      if (!parsed) return taken
      taken += parsed.length
      void this.answerHttp(stream, parsed.request)
    }
  }

  private async answerHttp(stream: Duplex, request: Parameters<HttpHandler>[0]): Promise<void> {
    const fault = this.options.faults.take(`GET /${request.path}`, this.options.address())
    if (fault?.kind === 'ignore') return
    if (fault?.kind === 'fail') {
      send(stream, formatHttpReply({body: fault.error, status: 500}))
      return
    }

    const outcome =
      request.repeatedArg === undefined
        ? this.options.http(request)
        : badRequest(`failed to parse request: ERR_INVALID_PARAMETERS: duplicate parameter: ${request.repeatedArg}`)
    if (outcome === 'die') {
      this.options.onDeath()
      return
    }

    if (await this.mayAnswer(stream, fault)) send(stream, formatHttpReply(outcome))
  }

  /** What a fault does to an answer that is ready. */
  private async mayAnswer(stream: Duplex, fault: FaultOutcome): Promise<boolean> {
    if (fault?.kind === 'delay') await this.options.faults.wait(fault.delayMs)
    if (fault?.kind === 'close-after') stream.destroy()
    return fault === undefined || fault.kind === 'delay' || fault.kind === 'late'
  }
}

function send(stream: Duplex, bytes: Buffer): void {
  if (!stream.destroyed && stream.writable) stream.write(bytes)
}
