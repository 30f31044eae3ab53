/** The loaded configuration of a server (protocol.md §3.12, measured.md §12). */
export interface ConfigDump {
  get(section: string, key: string): string | undefined
  /** Empty when there is no such section. */
  section(name: string): Map<string, string>
}

/** Reads the INI-like text of the remote command `config-dump`: `[section]`, `; comment`, `key = value`. */
export function parseConfigDump(text: string): ConfigDump {
  const sections = new Map<string, Map<string, string>>()
  let current: Map<string, string> | undefined
  for (const line of text.split(/\r?\n/)) {
    const header = /^\[([^\]]*)]\s*$/.exec(line)
    if (header) {
      const name = header[1]!
      current = sections.get(name) ?? new Map()
      sections.set(name, current)
      continue
    }

    const pair = /^([^\s;=][^=]*?)\s*=\s*(.*?)\s*$/.exec(line)
    if (pair) current?.set(pair[1]!, pair[2]!)
  }

  return {
    get: (section, key) => sections.get(section)?.get(key),
    section: (name) => sections.get(name) ?? new Map(),
  }
}
