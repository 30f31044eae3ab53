import type {Clock} from '../../src/lib/clock.js'
import {PegasusClient} from '../../src/lib/pegasus/client.js'
import type {Transport} from '../../src/lib/rpc/transport.js'

/** A client that remembers what it asked whom: remote commands as `RPC_CLI_CLI_CALL config-dump`, HTTP as `GET /path`. */
export class WatchedClient extends PegasusClient {
  readonly asked: Array<{address: string; what: string}> = []
  /** The most questions that one server had to answer at the same time. */
  mostAtOnce = 0
  private readonly running = new Map<string, number>()

  constructor(clock: Clock, transport: Transport) {
    super({clock, random: () => 0.5, transport})
    const {http, pool} = this
    const call = pool.call.bind(pool)
    pool.call = (address, rpc, request, options) => {
      const {cmd} = request as {cmd?: string}
      return this.watch(address, cmd ? `${rpc.name} ${cmd}` : rpc.name, () => call(address, rpc, request, options))
    }

    const get = http.get.bind(http)
    http.get = (address, path, options) => {
      const [what] = path.split('?')
      return this.watch(address, `GET ${what}`, () => get(address, path, options))
    }
  }

  askedOf(address: string): string[] {
    return this.asked.filter((entry) => entry.address === address).map(({what}) => what)
  }

  private async watch<T>(address: string, what: string, ask: () => Promise<T>): Promise<T> {
    this.asked.push({address, what})
    const running = (this.running.get(address) ?? 0) + 1
    this.running.set(address, running)
    this.mostAtOnce = Math.max(this.mostAtOnce, running)
    try {
      return await ask()
    } finally {
      this.running.set(address, this.running.get(address)! - 1)
    }
  }
}
