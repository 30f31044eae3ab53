import {malformed} from '../rpc/memory-transport.js'

/** The loaded configuration of a server (protocol.md §3.12, measured.md §12). */
export interface ConfigDump {
  get(section: string, key: string): string | undefined
  /** Empty when there is no such section. */
  section(name: string): Map<string, string>
}

/** A real one has some 5,000 lines. */
const MAX_LINES = 200_000

/** Reads the INI-like text of the remote command `config-dump`: `[section]`, `; comment`, `key = value`. @throws MigratorError rpc.malformed */
export function parseConfigDump(text: string): ConfigDump {
  const sections = new Map<string, Map<string, string>>()
  let lines = 0
  let current: Map<string, string> | undefined
  for (const raw of text.split('\n', MAX_LINES + 1)) {
    if (++lines > MAX_LINES) throw malformed(`config-dump has more than ${MAX_LINES} lines`)
    const line = raw.trim()
    const equals = line.indexOf('=')
    if (line.startsWith('[') && line.endsWith(']')) {
      const name = line.slice(1, -1)
      current = sections.get(name) ?? new Map<string, string>()
      sections.set(name, current)
    } else if (equals > 0 && !line.startsWith(';')) {
      current?.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim())
    }
  }

  return {
    get: (section, key) => sections.get(section)?.get(key),
    section: (name) => sections.get(name) ?? new Map(),
  }
}
