import {HttpClient} from '../rpc/http.js'
import {ConnectionPool} from '../rpc/pool.js'
import {Cluster} from './cluster.js'
import type {Environment} from './env.js'
import {ServerGate} from './server-gate.js'

/** Everything that is needed to talk to Pegasus clusters; shares one connection per server. */
export class PegasusClient {
  readonly env: Environment
  readonly gate: ServerGate
  readonly http: HttpClient
  readonly pool: ConnectionPool

  constructor(env: Environment) {
    this.env = env
    this.gate = new ServerGate(env.clock, env.calmMs)
    this.http = new HttpClient(env)
    this.pool = new ConnectionPool(env)
  }

  /** @param metas `host:port` of each meta server */
  cluster(metas: string[]): Cluster {
    return new Cluster(this, metas)
  }

  /** Ends every connection; nothing of this client keeps the process alive after that. */
  close(): Promise<void> {
    this.http.close()
    return this.pool.close()
  }
}
