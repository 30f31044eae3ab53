import type {NodeEvent, WatchedNodes} from './metaproxy-nodes.js'

/** Who wants to hear of a node, once, as ZooKeeper's watches do it. */
export class Watches {
  private readonly byPath = new Map<string, Set<(event: NodeEvent) => void>>()

  /** @param bytesOf what a node holds now; undefined: there is none */
  constructor(private readonly bytesOf: (path: string) => Buffer | undefined) {}

  tell(path: string, event: NodeEvent): void {
    const watches = this.byPath.get(path)
    this.byPath.delete(path)
    for (const watch of watches ?? []) queueMicrotask(() => watch(event))
  }

  /** One proxy's view, with watches of its own. */
  view(): WatchedNodes {
    let session = {alive: true}
    return {
      async close() {
        session.alive = false
      },
      async expire() {
        session.alive = false
        session = {alive: true}
      },
      read: async (path, onEvent) => {
        const bytes = this.bytesOf(path)
        if (!bytes) return undefined
        const mine = session
        const watches = this.byPath.get(path) ?? new Set()
        this.byPath.set(path, watches)
        watches.add((event) => {
          if (mine.alive) onEvent(event)
        })
        return bytes
      },
    }
  }
}
