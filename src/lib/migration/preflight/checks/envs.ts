import type {Check, PreflightFacts} from '../check.js'
import {shellQuote} from '../../../shell-quote.js'
import {isResume, nodeNamesTarget, whyTargetMayServe} from '../clusters.js'
import {error, listed, ok, warning} from '../wording.js'

const DENY = 'replica.deny_client_request'
/** What stays on the source after a hand-over. */
const CLOSED = 'reconfig*all'

function envsMatching(envs: ReadonlyMap<string, string>, pattern: RegExp): string[] {
  return [...envs].filter(([key]) => pattern.test(key)).map(([key, value]) => `${key}=${value}`)
}

const keysOf = (entries: string[]) => entries.map((entry) => entry.slice(0, entry.indexOf('='))).join(' ')

const sourceDeny: Check = {
  id: 'source-deny',
  needs: ['source.table'],
  run(facts) {
    const {ownDeny, ownHandOver, source} = facts
    const value = source.table.envs.get(DENY)
    if (value === undefined) return ok(`${DENY} is not set`)
    const handedOver = ownHandOver || (isResume(facts) && nodeNamesTarget(facts))
    if (value === ownDeny || (handedOver && value === CLOSED)) {
      return ok(`ours: ${DENY}=${value}, set by an earlier run on this machine`)
    }

    // A return of another machine that was killed leaves its own; whoever deleted it would open both sides.
    if (handedOver && nodeNamesTarget(facts))
      return ok(`${DENY}=${value}: the table was handed over, and the source is closed to everyone (${CLOSED}) now`)

    const mayServe = whyTargetMayServe(facts)
    if (mayServe !== undefined) {
      return error(
        `${DENY}=${value} is set, as a migration that was finished leaves it, and ${mayServe}`,
        `delete nothing; to bring the table back: pegasus table:migrate-rollback -t ${shellQuote(facts.request.table)}`,
      )
    }

    return error(
      `${DENY}=${value} is set, not by a run that this machine knows of: the target would be created with it and refuse the duplicated writes`,
      `find out who set it, then delete it from the source's table: del_app_envs ${DENY}`,
    )
  },
  title: 'the source does not deny client requests',
}

const targetDeny: Check = {
  id: 'target-deny',
  needs: ['target.table'],
  run({target}) {
    if (!target.table) return ok('the target has no such table yet; looked at again before writes are denied')
    const value = target.table.envs.get(DENY)
    if (value === undefined) return ok(`${DENY} is not set on the target's table`)
    const silence = value.startsWith('timeout') ? '; with timeout each refused request hangs for 100 s' : ''
    return error(
      `${DENY}=${value} is set on the target's table: it refuses duplicated writes too${silence}`,
      `delete it from the target's table: del_app_envs ${DENY}`,
    )
  },
  title: 'the target does not deny client requests',
}

const followerEnvs: Check = {
  id: 'follower-envs',
  needs: ['source.table'],
  run({source}) {
    const found = envsMatching(source.table.envs, /^duplication\./)
    if (found.length === 0) return ok('no duplication.* env')
    return error(
      `the source's table carries ${listed(found)}: the target would be created as a follower of that cluster and copy from there`,
      `make sure that nothing duplicates to it any more, then delete them: del_app_envs ${keysOf(found)}`,
    )
  },
  title: 'the source carries no follower envs',
}

const throttling: Check = {
  id: 'throttling',
  needs: ['source.table', 'target.table'],
  run(facts) {
    return copiedEnvs(facts, /^replica\..*_throttling(_by_size)?$/, {
      absent: 'no throttling env',
      harm: 'the target gets the same limits, and they slow down duplicated writes and the scans of the verification',
    })
  },
  title: 'no throttling slows the duplication down',
  unread: 'warning',
}

const accessControl: Check = {
  id: 'access-control',
  needs: ['source.table', 'target.table'],
  run(facts) {
    return copiedEnvs(facts, /^replica_access_controller\./, {
      absent: 'no access control env',
      harm: 'the target gets the same, and must know the same users and policies; this tool may be refused too',
    })
  },
  title: 'no access control is copied unseen',
  unread: 'warning',
}

function copiedEnvs({source, target}: PreflightFacts, pattern: RegExp, text: {absent: string; harm: string}) {
  const onSource = envsMatching(source.table.envs, pattern)
  const onTarget = target.table ? envsMatching(target.table.envs, pattern) : []
  if (onSource.length === 0 && onTarget.length === 0) return ok(text.absent)
  const where = [
    ...(onSource.length > 0 ? [`source: ${listed(onSource)}`] : []),
    ...(onTarget.length > 0 ? [`target: ${listed(onTarget)}`] : []),
  ]
  return warning(
    `${where.join('; ')}: ${text.harm}`,
    'check that this is meant for the target too; change it on the target after the migration',
  )
}

export const envChecks = [sourceDeny, targetDeny, followerEnvs, throttling, accessControl]
