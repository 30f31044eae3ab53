import assert from 'node:assert/strict'

import type {CheckResult, PreflightFacts, Severity} from '../../../src/lib/migration/preflight/check.js'
import {targetChecks} from '../../../src/lib/migration/preflight/checks/target.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {dumpOf, duplicationOf, healthyFacts, nodeOf} from './healthy-facts.js'

type Change = (facts: PreflightFacts) => void

async function judge(id: string, change: Change = () => {}) {
  const facts = healthyFacts()
  change(facts)
  const {evidence, remedy, severity} = (await targetChecks.find((check) => check.id === id)!.run(facts)) as CheckResult
  return {evidence, remedy, severity}
}

/** What a check says of changed facts: all of it. */
async function says(id: string, change: Change, severity: Severity, evidence: string, remedy = ''): Promise<void> {
  assert.deepEqual(await judge(id, change), {evidence, remedy, severity})
}

const rename = (facts: PreflightFacts, name: string, cluster = 'onebox2') => {
  for (const meta of facts.target.metas) {
    meta.dump = dumpOf(cluster, ({replication}) => {
      replication.dup_cluster_name = name
    })
  }
}

const silent = (address: string, given = true, reason?: string) => ({
  address,
  ...(reason === undefined ? {} : {error: new Error(reason)}),
  given,
  version: '',
})

describe('preflight: the target, exactly', () => {
  it('has checks with what they need', () => {
    assert.deepEqual(
      targetChecks.map(({id, needs, title, unread}) => [id, needs?.join(), title, unread]),
      [
        ['target-cluster', 'source.info,target.info', 'the target is the cluster that was named', undefined],
        ['target-metas', 'target.info', "the target's metas belong to one cluster and answer", undefined],
        [
          'target-table',
          'source.info,source.table,source.duplications,target.table',
          'the target has no table of this name yet',
          undefined,
        ],
        ['target-servers', 'source.table,target.info,target.nodes', 'the target has enough living servers', undefined],
        ['target-meta-level', 'target.info', "the target's metas may create tables", undefined],
        ['target-disk', 'target.nodes,source.table', 'the target has room for the table', 'skipped'],
      ],
    )
  })

  describe('cluster', () => {
    const other = 'source and target are both called onebox: a duplication from a cluster to itself is refused'
    const remedy =
      'name the metas of the other cluster with --meta; two clusters of one name cannot duplicate to each other'

    it('is not the source by any of its names', async () => {
      await says(
        'target-cluster',
        ({target}) => Object.assign(target.info, {clusterName: 'onebox'}),
        'error',
        other,
        remedy,
      )
      await says('target-cluster', (facts) => rename(facts, 'onebox'), 'error', other, remedy)
    })

    it('is the one that was named', async () => {
      await says('target-cluster', () => {}, 'ok', 'the cluster behind --meta is onebox2')
      await says(
        'target-cluster',
        ({request}) => Object.assign(request, {targetCluster: 'c'}),
        'error',
        '--cluster says c, but the cluster behind --meta is onebox2',
        'use --cluster onebox2, or other metas',
      )
      await says(
        'target-cluster',
        (facts) => rename(facts, 'b'),
        'error',
        '--cluster says onebox2, but the cluster behind --meta is b (its cluster_name is onebox2; dup_cluster_name counts here)',
        'use --cluster b, or other metas',
      )
    })
  })

  describe('metas', () => {
    it('are all of one cluster', async () => {
      await says(
        'target-metas',
        ({target}) => {
          target.metas[0]!.dump = dumpOf('c')
          target.metas[1]!.dump = dumpOf('', ({replication}) => {
            delete (replication as Record<string, string | undefined>).cluster_name
          })
        },
        'error',
        'not metas of onebox2: 10.0.1.1:34601 (c), 10.0.1.2:34601 (no name)',
        'name the metas of one cluster only with --meta',
      )
    })

    it('are known to the cluster where they are silent and were given', async () => {
      await says(
        'target-metas',
        ({target}) => target.metas.push(silent('10.0.1.8:34601', true), silent('10.0.1.2:34601')),
        'error',
        '10.0.1.8:34601 does not answer, and onebox2 does not name it as its meta',
        'correct --meta: these addresses go into the metaproxy node',
      )
      await says(
        'target-metas',
        ({target}) => target.metas.push(silent('10.0.1.8:34601', false, 'refused'), silent('10.0.1.9:34601', false)),
        'warning',
        'metas of onebox2 that do not answer: 10.0.1.8:34601 (refused), 10.0.1.9:34601 ()',
        'start them before the applications depend on this cluster',
      )
    })

    it('were all named', async () => {
      await says(
        'target-metas',
        ({target}) => Object.assign(target.info, {metaServers: [...target.info.metaServers, '10.0.1.3:34601']}),
        'warning',
        'onebox2 has more metas than --meta names: 10.0.1.3:34601',
        'name them all with --meta: metaproxy knows only those that are written into its node',
      )
      const all = 'onebox2, led by 10.0.1.1:34601, metas 10.0.1.1:34601, 10.0.1.2:34601'
      await says('target-metas', () => {}, 'ok', all)
    })
  })

  describe('table', () => {
    const add = (facts: PreflightFacts, master?: string) => {
      const envs = new Map(master === undefined ? [] : [['duplication.master_cluster', master]])
      facts.target.table = {...healthyFacts().source.table, appId: 5, envs}
    }

    const duplicates = (facts: PreflightFacts, status = DuplicationStatus.DS_LOG) => {
      facts.source.duplications = [duplicationOf({status})]
    }

    const found = 'the target has a table users (table id 5)'
    const forEver = 'a new duplication would stay in DS_PREPARE for ever'
    const drop = 'make sure that nobody needs it, then drop it on the target: drop users'

    it('is missed where it is shipped to', async () => {
      for (const status of [DuplicationStatus.DS_LOG, DuplicationStatus.DS_PAUSE]) {
        await says(
          'target-table',
          (facts) => duplicates(facts, status),
          'error',
          'the target has no table users, and duplication 77 ships to it: somebody dropped the copy',
          'recall the copy on the target, or begin anew: pegasus table:migrate-rollback -t users --copy-is-gone',
        )
      }
    })

    it('is not there yet', async () => {
      for (const status of [DuplicationStatus.DS_INIT, DuplicationStatus.DS_PREPARE, DuplicationStatus.DS_APP]) {
        const yet = 'the target has no table users yet: the duplication will create it'
        await says('target-table', (facts) => duplicates(facts, status), 'ok', yet)
      }

      await says('target-table', () => {}, 'ok', 'the target has no table users')
    })

    it('stands in the way, whoever made it', async () => {
      const origins: [string | undefined, string][] = [
        ['onebox', 'left behind by a duplication that is gone'],
        ['c', 'a follower of c'],
        [undefined, 'made by somebody else, or the copy that a rollback has kept'],
      ]
      for (const [master, origin] of origins) {
        const evidence = `${found}, ${origin}: ${forEver}`
        await says('target-table', (facts) => add(facts, master), 'error', evidence, drop)
      }

      const other = `${found}, a follower of c: ${forEver}`
      const bothThere: Change = (facts) => {
        add(facts, 'c')
        duplicates(facts)
      }

      await says('target-table', bothThere, 'error', other, drop)
    })

    it('is the copy, by any name of the source', async () => {
      await says(
        'target-table',
        (facts) => {
          add(facts, 'dup-a')
          duplicates(facts)
          facts.source.metas[0]!.dump = dumpOf('onebox', ({replication}) => {
            replication.dup_cluster_name = 'dup-a'
          })
        },
        'ok',
        `${found} that follows dup-a by duplication 77`,
      )
      await says(
        'target-table',
        (facts) => {
          add(facts, 'onebox')
          duplicates(facts)
          facts.ownDupid = 77
        },
        'ok',
        `ours: ${found} that follows onebox by duplication 77`,
      )
    })

    it('has as many partitions as the source', async () => {
      await says(
        'target-table',
        (facts) => {
          add(facts, 'onebox')
          duplicates(facts)
          facts.target.table!.partitionCount = 1
        },
        'error',
        `${found} with 1 partition, the source has 4: rows would end in wrong partitions`,
        'remove the duplication, drop the target table and migrate anew',
      )
    })

    it('serves already, by the node or by the journal', async () => {
      const switched: Change = (facts) => {
        add(facts)
        facts.metaproxy!.node = nodeOf('onebox2', ['10.0.1.1:34601'])
        facts.ownDupid = 77
      }

      const handedOver: Change = (facts) => {
        add(facts)
        facts.request.metaproxy = undefined
        facts.ownHandOver = true
      }

      await says('target-table', switched, 'ok', `ours: ${found}, and the metaproxy node names it already`)
      await says('target-table', handedOver, 'ok', `ours: ${found}, and it was handed over already`)
      // The journal alone does not tell where there is a node.
      const both: Change = (facts) => {
        add(facts)
        facts.ownHandOver = true
      }

      assert.equal((await judge('target-table', both)).severity, 'error')
      const neither: Change = (facts) => {
        add(facts)
        facts.request.metaproxy = undefined
      }

      assert.equal((await judge('target-table', neither)).severity, 'error')
    })
  })

  it('may create tables at two levels', async () => {
    const remedy = 'set it to steady on the target: set_meta_level steady'
    const level = (name: string) => (facts: PreflightFacts) =>
      Object.assign(facts.target.info, {metaFunctionLevel: name})
    for (const name of ['steady', 'lively']) await says('target-meta-level', level(name), 'ok', name)
    for (const [name, told] of Object.entries({'': 'not told', blind: 'blind'})) {
      const evidence = `the level is ${told}: the target's metas refuse to create the table (ERR_STATE_FREEZED), and the duplication waits for ever`
      await says('target-meta-level', level(name), 'error', evidence, remedy)
    }
  })

  describe('where the applications may be on the target already', () => {
    const serving = (why: string) =>
      [
        `the target has a table users (table id 7), and ${why}: it may well be what the applications use`,
        'drop nothing; if it serves, the source is to be closed: in the Pegasus shell there, use users; set_app_envs replica.deny_client_request reconfig*all. Where the table stands: pegasus table:migrate-status -t users',
      ] as const
    const there: Change = (facts) => {
      facts.target.table = {...healthyFacts().source.table, appId: 7, envs: new Map()}
    }

    it('nobody is told to drop what the node names', () =>
      says(
        'target-table',
        (facts) => {
          there(facts)
          facts.metaproxy!.node = nodeOf('onebox2', ['10.0.1.1:34601'])
        },
        'error',
        ...serving('the metaproxy node names the target'),
      ))

    it('nor, without a node, what a finished migration has moved', () =>
      says(
        'target-table',
        (facts) => {
          there(facts)
          delete facts.request.metaproxy
          facts.ownFinished = true
        },
        'error',
        ...serving("this machine's journal says that the applications were moved there"),
      ))

    it('and a node that leads to no table is no beginning', () =>
      says(
        'target-table',
        (facts) => {
          facts.metaproxy!.node = nodeOf('onebox2', ['10.0.1.1:34601'])
        },
        'error',
        'the metaproxy node names the target, and it has no table users: clients are sent to what is not there',
        'find out who dropped it, and recall it on the target',
      ))
  })
})
