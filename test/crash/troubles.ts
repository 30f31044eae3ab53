import type {Life} from '../simulation/life.js'
import {type Simulation, TABLE} from '../simulation/simulation.js'

/** Something that goes wrong around a command while it runs. */
export interface Trouble {
  /** Makes it happen. */
  begin(simulation: Simulation, life: Life): Promise<void> | void
  /** What passes by itself, or is mended by somebody, after so long; ms. */
  lastsMs?: number
  /** Ends it; also called when the command has ended earlier. */
  end?(simulation: Simulation, life: Life): Promise<void> | void
  name: string
}

/** Of the first partition. */
function primaryOf(simulation: Simulation, side: 'source' | 'target'): string | undefined {
  const cluster = simulation[side]
  return cluster.state.tableNamed(TABLE) ? cluster.primaryOf(TABLE, 0) : undefined
}

function serverDies(side: 'source' | 'target'): Trouble {
  let victim: string | undefined
  return {
    async begin(simulation) {
      victim = primaryOf(simulation, side) ?? simulation[side].servers[0]!.address
      await simulation[side].killServer(victim)
    },
    async end(simulation) {
      await simulation[side].startServer(victim!)
    },
    lastsMs: 40_000,
    name: `a replica server of the ${side} dies and comes back`,
  }
}

/** Made anew for each case: some remember what they did. */
export function troubles(): Trouble[] {
  let deadMeta = 0
  return [
    {
      async begin({source}) {
        deadMeta = source.leader ? source.metaServers.indexOf(source.leader) : -1
        if (deadMeta !== -1) await source.killMeta(deadMeta)
      },
      async end({source}) {
        if (deadMeta !== -1) await source.startMeta(deadMeta)
      },
      lastsMs: 90_000,
      name: "the source's meta leader dies",
    },
    {
      async begin({target}) {
        await target.killMeta(0)
      },
      async end({target}) {
        await target.startMeta(0)
      },
      lastsMs: 30_000,
      name: "the target's only meta dies and comes back",
    },
    {
      begin(simulation) {
        const {source} = simulation
        const from = primaryOf(simulation, 'source')
        const to = source.servers.find(({address}) => address !== from)!
        source.movePrimary(TABLE, 0, to.address)
      },
      name: 'a primary of the source moves',
    },
    serverDies('source'),
    serverDies('target'),
    {
      begin({zookeeper}) {
        zookeeper.expireAll()
      },
      name: 'every ZooKeeper session expires',
    },
    {
      begin({zookeeper}) {
        zookeeper.down = true
      },
      end({zookeeper}) {
        zookeeper.down = false
      },
      lastsMs: 15_000,
      name: 'ZooKeeper is away for 15 s',
    },
    {
      begin(simulation) {
        simulation.disk().full = (path) => path.endsWith('.jsonl')
      },
      end(simulation) {
        simulation.disk().full = undefined
      },
      name: 'no space is left for the journal',
    },
    {
      begin(simulation) {
        simulation.disk().full = () => true
      },
      end(simulation) {
        simulation.disk().full = undefined
      },
      name: 'no space is left for anything',
    },
    {
      begin(_, life) {
        life.stop()
      },
      end(_, life) {
        life.resume()
      },
      lastsMs: 60_000,
      name: 'the driver is stopped for a minute (SIGSTOP)',
    },
  ]
}
