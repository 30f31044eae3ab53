import type {Check, ServerFacts} from '../check.js'
import {LOWERED_SYNC_MS, predictWindow, type WindowPrediction} from '../prediction.js'
import {numberSettingOf, settingOf} from '../settings.js'
import {confirm, error, figuresOf, named, ok, seconds, skipped, warning} from '../wording.js'

const addressOf = ({address}: ServerFacts) => address

const configSync: Check = {
  id: 'config-sync',
  needs: ['source.nodes', 'source.configuration'],
  run({request, source}) {
    const off = source.servers.filter((server) => settingOf(server, 'config_sync_disabled') === 'true')
    if (off.length > 0) {
      return error(
        `[replication] config_sync_disabled is true on ${named(off)}: no env ever reaches them`,
        'set it to false and restart them',
      )
    }

    const unread = source.servers.filter((server) => !numberSettingOf(server, 'config_sync_interval_ms'))
    if (unread.length > 0) {
      return error(
        `config_sync_interval_ms could not be read on ${named(unread)}`,
        'repair them: how long a deny takes to spread depends on it',
      )
    }

    const intervals = figuresOf(
      source.servers,
      (server) => `${numberSettingOf(server, 'config_sync_interval_ms')} ms`,
      addressOf,
    )
    if (source.generation === '2.5') return ok(intervals)
    const why =
      source.generation === 'master'
        ? '/updateConfig says ERR_OK on master and changes nothing'
        : 'it is no flag on 2.4'
    const evidence = `${intervals}; cannot be lowered at run time (${why})`
    return request.fastCutover === 'on'
      ? warning(
          `${evidence}: --fast-cutover has no effect`,
          'set it in the configuration files and restart, or do without',
        )
      : ok(evidence)
  },
  title: 'how soon envs reach the servers',
}

const emptyWrites: Check = {
  id: 'empty-writes',
  needs: ['source.nodes', 'source.configuration'],
  run({source}) {
    if (source.generation === 'master') return skipped('master ships the last mutation without an empty write')
    const all = [...source.servers, ...source.otherServers]
    const bad = all.filter(
      (server) =>
        settingOf(server, 'empty_write_disabled') === 'true' || settingOf(server, 'group_check_disabled') === 'true',
    )
    const unread = source.servers.filter(
      (server) =>
        settingOf(server, 'empty_write_disabled') === undefined || !numberSettingOf(server, 'group_check_interval_ms'),
    )
    const evidence = [
      ...(bad.length > 0
        ? [
            `empty_write_disabled or group_check_disabled is true on ${named(bad)}: the last write of each partition there never ships`,
          ]
        : []),
      ...(unread.length > 0
        ? [`empty_write_disabled or group_check_interval_ms could not be read on ${named(unread)}`]
        : []),
    ].join('; ')
    const remedy =
      'set empty_write_disabled=false by /updateConfig on each (group_check_disabled: in the file, and restart)'
    if (unread.length > 0 || bad.some((server) => source.servers.includes(server))) return error(evidence, remedy)
    if (bad.length > 0) return warning(`${evidence}; they host no replica today`, remedy)
    return ok(
      `on, every ${figuresOf(source.servers, (server) => `${numberSettingOf(server, 'group_check_interval_ms')} ms`, addressOf)}`,
    )
  },
  title: 'empty writes let the last mutation ship',
}

const batchBytes: Check = {
  id: 'batch-bytes',
  needs: ['source.nodes', 'source.configuration'],
  run({source}) {
    const all = [...source.servers, ...source.otherServers]
    const name = 'duplicate_log_batch_bytes'
    const unread = all.filter(
      ({config, failures, unreachable}) => unreachable !== undefined || failures.has('config') || !config.has(name),
    )
    const noFlag = all.filter((server) => !unread.includes(server) && server.config.get(name) === undefined)
    if (noFlag.length > 0) {
      return error(
        `${name} is no flag on ${named(noFlag)}: it cannot be set to 0 at run time, and overwrites would arrive in another order`,
        `set [replication] ${name} = 0 in the configuration file of every source server and restart it`,
      )
    }

    const hosts = unread.filter((server) => source.servers.includes(server))
    if (hosts.length > 0)
      return error(
        `${name} could not be read on ${named(hosts)}`,
        'repair them: it must be set to 0 on every source server',
      )
    const values = figuresOf(
      all.filter((server) => !unread.includes(server)),
      ({config}) => `${config.get(name)}`,
      addressOf,
    )
    if (unread.length > 0)
      return warning(
        `${values}; not read on ${named(unread)}, which host no replica today`,
        'start them or take them out',
      )
    return ok(
      `${values}; the migration sets 0 before anything ships, so that overwrites keep their order, and puts it back`,
    )
  },
  title: 'shipping can be made to keep the order of overwrites',
}

const writeSize: Check = {
  id: 'write-size',
  needs: ['source.nodes', 'source.configuration', 'target.nodes'],
  run({source, target}) {
    const name = 'max_allowed_write_size'
    const told = {source: source.servers, target: target.servers.filter(({alive}) => alive)}
    const unread = [...told.source, ...told.target].filter((server) => numberSettingOf(server, name) === undefined)
    // 0 allows any size.
    const limit = (server: ServerFacts) => numberSettingOf(server, name) || Number.POSITIVE_INFINITY
    const largest = Math.max(...told.source.map((server) => limit(server)))
    const smallest = Math.min(...told.target.map((server) => limit(server)))
    const figure = (bytes: number) => (Number.isFinite(bytes) ? `${bytes} bytes` : 'any size')
    const evidence = `the source takes writes of up to ${figure(largest)}, the target ${figure(smallest)}`
    if (unread.length > 0)
      return warning(
        `${name} could not be read on ${named(unread)}`,
        'make sure that the target allows at least what the source does',
      )
    if (smallest < largest) {
      return confirm(
        `${evidence}: a larger write is refused by the target for ever, and its partition never catches up`,
        `raise [replication] ${name} on the target and restart it, or accept when no application writes values as large as that`,
      )
    }

    return ok(evidence)
  },
  title: 'the target takes writes as large as the source does',
  unread: 'warning',
}

const writeDenyBound: Check = {
  id: 'write-deny-bound',
  needs: ['source.nodes', 'source.configuration'],
  run(facts) {
    const {fastCutover = 'auto', maxWriteDenyMs} = facts.request
    const plain = predictWindow(facts)
    const canLower = facts.source.generation === '2.5' && fastCutover !== 'off'
    const fast = canLower ? predictWindow(facts, LOWERED_SYNC_MS) : plain
    const told = ({parts, sumMs}: WindowPrediction) => `${parts.join('; ')}: together ${seconds(sumMs)}`
    const allowed = `allowed ${seconds(maxWriteDenyMs)}`
    if (maxWriteDenyMs >= plain.sumMs) {
      const shorter = fast.sumMs < plain.sumMs ? ` (${seconds(fast.sumMs)} once the config sync is shortened)` : ''
      return ok(`${told(plain)}${shorter}, ${allowed}`)
    }

    if (maxWriteDenyMs < fast.sumMs) {
      return error(
        `${told(fast)}, ${allowed}`,
        `allow at least ${Math.ceil(fast.sumMs / 1000)}s with --max-write-deny, or lower the servers' timers first`,
      )
    }

    const evidence = `${told(fast)}, ${allowed}`
    if (fastCutover === 'on') return ok(evidence)
    return warning(
      `${evidence}; without the shortened config sync ${seconds(plain.sumMs)}`,
      'when the config sync cannot be shortened the deny is taken back at the bound: allow more, or insist with --fast-cutover',
    )
  },
  title: 'the allowed write-deny window is long enough',
}

export const timerChecks = [configSync, emptyWrites, batchBytes, writeSize, writeDenyBound]
