import {at, enumeration, list, opt, string, struct} from '../codec.js'
import {blob, errorCode, hostPort, rpcAddress} from '../custom-types.js'

/* Servers, cluster settings, remote commands, negotiation (idl.md, "Nodes and cluster", "Remote command / SASL"). */

export enum NodeStatus {
  NS_INVALID = 0,
  NS_ALIVE = 1,
  NS_UNALIVE = 2,
}

/** What the metas may do by themselves; `fl_invalid` in a request only asks. */
export enum MetaFunctionLevel {
  fl_stopped = 100,
  fl_blind = 200,
  fl_freezed = 300,
  fl_steady = 400,
  fl_lively = 500,
  fl_invalid = 10_000,
}

export enum NegotiationStatus {
  INVALID = 0,
  SASL_LIST_MECHANISMS = 1,
  SASL_LIST_MECHANISMS_RESP = 2,
  SASL_SELECT_MECHANISMS = 3,
  SASL_SELECT_MECHANISMS_RESP = 4,
  SASL_INITIATE = 5,
  SASL_CHALLENGE = 6,
  SASL_CHALLENGE_RESP = 7,
  SASL_SUCC = 8,
  SASL_AUTH_DISABLE = 9,
  SASL_AUTH_FAIL = 10,
}

export const nodeInfo = struct('node_info', {
  status: at(1, enumeration<NodeStatus>(NodeStatus.NS_INVALID)),
  node: at(2, rpcAddress),
  hpNode: opt(3, hostPort),
})

export const listNodesRequest = struct('configuration_list_nodes_request', {
  status: at(1, enumeration<NodeStatus>(NodeStatus.NS_INVALID)),
})

export const listNodesResponse = struct('configuration_list_nodes_response', {
  err: at(1, errorCode),
  infos: at(2, list(nodeInfo)),
})

export const clusterInfoRequest = struct('configuration_cluster_info_request', {})

export const clusterInfoResponse = struct('configuration_cluster_info_response', {
  err: at(1, errorCode),
  keys: at(2, list(string)),
  values: at(3, list(string)),
})

export const metaControlRequest = struct('configuration_meta_control_request', {
  level: at(1, enumeration<MetaFunctionLevel>(MetaFunctionLevel.fl_invalid)),
})

export const metaControlResponse = struct('configuration_meta_control_response', {
  err: at(1, errorCode),
  oldLevel: at(2, enumeration<MetaFunctionLevel>(MetaFunctionLevel.fl_invalid)),
})

export const commandRequest = struct('command', {
  cmd: at(1, string),
  args: at(2, list(string)),
})

export const negotiation = struct('negotiation_request', {
  status: at(1, enumeration<NegotiationStatus>(NegotiationStatus.INVALID)),
  msg: at(2, blob),
})
