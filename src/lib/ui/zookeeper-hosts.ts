import {messageOf, MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import type {MigrationWorld} from '../migration/index.js'
import type {MigrationRequest} from '../migration/request.js'
import {PegasusClient} from '../pegasus/client.js'

/**
 * Without `--node`, metaproxy is believed to use the ZooKeeper of the source cluster.
 * @throws MigratorError `metaproxy.no_zookeeper` when the source does not say which that is
 */
export async function withZooKeeperHosts(
  request: MigrationRequest,
  world: MigrationWorld,
  signal: AbortSignal,
): Promise<MigrationRequest> {
  const {metaproxy, sourceMetas} = request
  if (!metaproxy || metaproxy.hosts !== '') return request
  const client = new PegasusClient(world)
  try {
    const hosts = (await client.cluster(sourceMetas).info({signal})).zookeeperHosts
    if (hosts === '') throw new Error('they name none')
    return {...request, metaproxy: {...metaproxy, hosts}}
  } catch (error) {
    throw new MigratorError(
      'metaproxy.no_zookeeper',
      `the source's metas (${sourceMetas.join(',')}) did not tell their ZooKeeper: ${messageOf(error)}; nothing was changed`,
      {cause: error, exitCode: ExitCode.refused, next: "say metaproxy's ZooKeeper with --node"},
    )
  } finally {
    await client.close()
  }
}
