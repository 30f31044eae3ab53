import type {Target} from '../target.js'
import {guards, journals, locks, verifyStates} from './files.js'
import {frames, replies, requests, scans} from './rpc.js'
import {answers, http} from './servers.js'
import {flagValues, nodes, serverTexts, terminal} from './texts.js'

export const targets: readonly Target[] = [
  answers,
  flagValues,
  frames,
  guards,
  http,
  journals,
  locks,
  nodes,
  replies,
  requests,
  scans,
  serverTexts,
  terminal,
  verifyStates,
]
