import {badRequest, type HttpReply, type HttpRequest, json, notFound, ok} from './http.js'
import type {SimulatedProcess} from './process.js'
import {formatTime} from './world.js'

/* HTTP paths that every server has (protocol.md §7.2, golden http-*.jsonl). */

const INDEX = {
  '/': 'Lists all supported calls',
  '/config': 'get the details of a specified config',
  '/configs': 'list all configs',
  '/pprof/cmdline': 'ip:port/pprof/cmdline',
  '/recentStartTime': 'Gets the server start time.',
  '/updateConfig': 'ip:port/updateConfig?<key>=<value>',
  '/version': 'Gets the server version.',
}

/** Answers a path that every server has, or undefined. */
export function commonHttp(
  server: SimulatedProcess,
  {args, path}: HttpRequest,
  paths: readonly string[],
): HttpReply | undefined {
  const {gitCommit, isMaster, version} = server.cluster.spec.traits
  switch (path) {
    case '': {
      const more = Object.fromEntries([...paths, isMaster ? '/metrics' : '/perfCounter'].map((p) => [p, `ip:port${p}`]))
      const index = {...INDEX, ...more}
      return json(Object.fromEntries(Object.entries(index).sort(([a], [b]) => (a < b ? -1 : 1))))
    }

    case 'version': {
      return json({Version: version, GitCommit: gitCommit})
    }

    case 'recentStartTime': {
      return json({RecentStartTime: formatTime(server.startedWallMs)})
    }

    case 'config': {
      const name = args.get('name')
      if (isMaster && !name) return badRequest("name shouldn't be empty")
      const flag = server.config.flags.get(name ?? '')
      const quoted = isMaster ? `'${name}'` : (name ?? '')
      return flag ? json(server.config.describe(flag)) : ok(`ERR_OBJECT_NOT_FOUND: ${quoted} is not found`)
    }

    case 'configs': {
      const {flags} = server.config
      return ok(JSON.stringify(Object.fromEntries([...flags].map(([n, flag]) => [n, server.config.describe(flag)]))))
    }

    case 'updateConfig': {
      return json({update_status: server.config.update(args).status})
    }

    default: {
      return undefined
    }
  }
}

export function unknownPath({path}: HttpRequest): HttpReply {
  return notFound(`service not found for "${path}"`)
}

/** A table id in an argument: the number, or the answer that refuses it. */
export function tableIdArg({args}: HttpRequest, name: string): HttpReply | number {
  const text = args.get(name)
  if (text === undefined || text === '') return badRequest(`${name} should not be empty`)
  return /^\d+$/.test(text) ? Number(text) : badRequest(`invalid ${name}=${text}`)
}
