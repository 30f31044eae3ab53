import type {Clock} from '../clock.js'
import type {MetaproxyStore} from './store.js'
import {parseZooKeeperAuth} from './zookeeper-options.js'
import {ZooKeeperStore} from './zookeeper-store.js'

/** The store behind a metaproxy's ZooKeeper; `auth` as in PEGASUS_ZK_AUTH. */
export function openZooKeeper(location: {auth?: string; hosts: string; root: string}, clock: Clock): MetaproxyStore {
  const {auth, hosts, root} = location
  return new ZooKeeperStore({...(auth === undefined ? {} : {auth: parseZooKeeperAuth(auth)}), clock, hosts, root})
}
