import {type DuplicationEntry, DuplicationFailMode, DuplicationStatus} from '../../../rpc/structs/duplication.js'
import type {Check} from '../check.js'
import {duplicationsToTarget, namesOf, ownDuplication} from '../clusters.js'
import {confirm, error, listed, ok, warning} from '../wording.js'

const described = ({dupid, remote, status}: DuplicationEntry) =>
  `${dupid} to ${remote} (${DuplicationStatus[status] ?? status})`

const allOf = (entries: DuplicationEntry[]) => listed(entries.map((entry) => described(entry)))

const foreignDuplication: Check = {
  id: 'foreign-duplication',
  needs: ['source.duplications'],
  run(facts) {
    const entries = duplicationsToTarget(facts)
    const own = ownDuplication(facts)
    const foreign = entries.filter((entry) => entry !== own)
    if (entries.length === 0) return ok(`the table is not being duplicated to ${facts.request.targetCluster}`)
    if (entries.length > 1) {
      return error(
        `several duplications to ${facts.request.targetCluster}: ${allOf(entries)}`,
        'remove all of them but one',
      )
    }

    if (foreign.length === 0)
      return ok(`ours: duplication ${described(own!)}, begun by an earlier run on this machine; it is gone on with`)
    const evidence =
      `duplication ${described(foreign[0]!)} is not from a run that this machine knows of. Shipped in batches it may have left older` +
      ' values on the target for good, which no counter shows: only a comparison of all values can tell'
    if (facts.request.verify !== 'full') {
      return error(
        evidence,
        'adopt it only with a full comparison: --verify full --accept foreign-duplication; or remove it and drop the target table',
      )
    }

    return confirm(
      evidence,
      'to adopt it and compare all values: --accept foreign-duplication; or remove it and drop the target table',
    )
  },
  title: 'no duplication of somebody else is in the way',
}

const otherDuplications: Check = {
  id: 'other-duplications',
  needs: ['source.duplications'],
  run(facts) {
    const toTarget = duplicationsToTarget(facts)
    const others = facts.source.duplications.filter((entry) => !toTarget.includes(entry))
    if (others.length === 0) return ok('the table is not duplicated to any other cluster')
    return confirm(
      `the table is also duplicated elsewhere: ${allOf(others)}. After the switch those clusters get nothing new,` +
        ' and their shipping is held to the batch size that the migration sets',
      'add these duplications anew from the target afterwards, or remove them first',
    )
  },
  title: 'no other cluster depends on the table',
}

const duplicationState: Check = {
  id: 'duplication-state',
  needs: ['source.duplications'],
  run(facts) {
    const entries = duplicationsToTarget(facts)
    if (entries.length === 0) return ok('nothing to judge: no duplication yet')
    const lossy = entries.find(
      ({failMode}) => (failMode ?? DuplicationFailMode.FAIL_SLOW) !== DuplicationFailMode.FAIL_SLOW,
    )
    if (lossy) {
      const mode = DuplicationFailMode[lossy.failMode!] ?? lossy.failMode
      return error(
        `duplication ${described(lossy)} is in ${mode}: ${mode === 'FAIL_SKIP' ? 'it leaves out log files that it cannot read' : 'servers abort when they cannot read a log file'}`,
        lossy === ownDuplication(facts)
          ? `in the Pegasus shell on the source: set_dup_fail_mode ${facts.request.table} ${lossy.dupid} slow; all rows are compared then, and what was left out is found`
          : 'remove it, drop the target table and migrate anew',
      )
    }

    const paused = entries.find(({status}) => status === DuplicationStatus.DS_PAUSE)
    if (paused && paused !== ownDuplication(facts)) {
      return error(
        `duplication ${described(paused)} was paused by somebody: when it goes on it ships old values over newer ones that clients may have written on the target`,
        'find out why; resume it yourself if nobody has written to the target, otherwise remove it',
      )
    }

    return ok(listed(entries.map((entry) => `duplication ${described(entry)}, FAIL_SLOW`)))
  },
  title: 'the duplication ships completely',
}

const sourceIsFollower: Check = {
  id: 'source-is-follower',
  needs: ['source.table', 'source.info', 'target.duplications'],
  run(facts) {
    const {source, target} = facts
    const names = new Set([...namesOf(source), ...namesOf(target)])
    const back = target.duplications.filter(({remote}) => namesOf(source).includes(remote))
    if (back.length > 0) {
      return error(
        `the target's table is duplicated to the source: ${allOf(back)}`,
        'remove that duplication on the target first; a table that receives one loses mutations when it ships them on',
      )
    }

    const figures = source.servers.map(({activity}) => activity.map((sample) => sample.get('duplicate') ?? 0))
    const isMaster = source.generation === 'master'
    const now = figures.some((samples) =>
      isMaster ? samples.at(-1)! > samples[0]! : samples.some((figure) => figure > 0),
    )
    if (now) {
      return error(
        'the source receives duplicated writes for this table from some cluster (duplicate requests in its counters)',
        'remove the duplication that ships to it, on the cluster that ships, and wait until all is there',
      )
    }

    if (isMaster && figures.some((samples) => samples.some((figure) => figure > 0))) {
      return warning(
        'the source received duplicated writes for this table since its servers started, but none just now',
        'make sure that no cluster duplicates to it any more',
      )
    }

    const nothing = `nothing on ${[...names].join(' or ')} duplicates to it`
    if (figures.every((samples) => samples.length > 0))
      return ok(`${nothing}, and no duplicated write was seen in its counters`)
    return warning(
      `${nothing}; whether other clusters do is not known: request counters could not be read`,
      'make sure that none does',
    )
  },
  title: 'nothing duplicates to the source table',
  unread: 'warning',
}

export const duplicationChecks = [foreignDuplication, otherDuplications, duplicationState, sourceIsFollower]
