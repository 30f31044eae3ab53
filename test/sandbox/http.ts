/* The HTTP that Pegasus servers speak: GET and POST, Content-Length, no Connection header (protocol.md §7.2). */

export interface HttpRequest {
  /** Arguments in the order given; a flag without `=` is the empty text. */
  args: Map<string, string>
  /** Without the slashes at its ends. */
  path: string
  /** An argument given twice, if any: answered with 400. */
  repeatedArg: string | undefined
}

export interface HttpReply {
  body: string
  location?: string
  status: 200 | 307 | 400 | 404 | 500
}

/** A GET handler; 'silence' never answers, 'die' takes the process down with it. */
export type HttpHandler = (request: HttpRequest) => 'die' | HttpReply

const REASONS: Record<HttpReply['status'], string> = {
  200: 'OK',
  307: 'Temporary Redirect',
  400: 'Bad Request',
  404: 'Not Found',
  500: 'Internal Server Error',
}

export const ok = (body: string): HttpReply => ({body, status: 200})
export const json = (value: unknown): HttpReply => ok(`${JSON.stringify(value)}\n`)
export const badRequest = (body: string): HttpReply => ({body, status: 400})
export const notFound = (body: string): HttpReply => ({body, status: 404})

/** One request at the head of `bytes`, with its length, or undefined while it is not complete. */
export function parseHttpRequest(bytes: Buffer): {length: number; request: HttpRequest} | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const head = bytes.toString('latin1', 0, headEnd)
  const bodyLength = Number(/^content-length:\s*(\d+)/im.exec(head)?.[1] ?? 0)
  const length = headEnd + 4 + bodyLength
  if (bytes.length < length) return undefined
  const target = head.split(' ')[1] ?? '/'
  const [rawPath = '/', query = ''] = target.split('?', 2)
  const args = new Map<string, string>()
  let repeatedArg: string | undefined
  for (const part of query.split('&').filter((p) => p !== '')) {
    const equals = part.indexOf('=')
    const name = decodeURIComponent(equals === -1 ? part : part.slice(0, equals))
    if (args.has(name)) repeatedArg = name
    args.set(name, equals === -1 ? '' : decodeURIComponent(part.slice(equals + 1)))
  }

  const path = rawPath
    .split('/')
    .filter((p) => p !== '')
    .join('/')
  return {length, request: {args, path, repeatedArg}}
}

export function formatHttpReply(reply: HttpReply): Buffer {
  const body = Buffer.from(reply.body, 'utf8')
  const head = [
    `HTTP/1.1 ${reply.status} ${REASONS[reply.status]}`,
    'Content-Type: text/plain',
    `Content-Length: ${body.length}`,
    ...(reply.location === undefined ? [] : [`Location: ${reply.location}`]),
  ]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), body])
}
