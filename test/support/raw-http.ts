import type {Duplex} from 'node:stream'

/** Answers each HTTP request on a connection with the same text, and keeps the connection open as Pegasus does. */
export function rawHttp(response: (requestHead: string) => Buffer | string | undefined): (stream: Duplex) => void {
  return (stream) => {
    let text = ''
    stream.on('error', () => stream.destroy())
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const answer = response(text.slice(0, end))
        text = text.slice(end + 4)
        if (answer !== undefined) stream.write(answer)
      }
    })
  }
}

export function httpResponse(status: number, body: string): string {
  const head = `HTTP/1.1 ${status} Whatever\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
  return head + body
}
