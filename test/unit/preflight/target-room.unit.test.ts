import assert from 'node:assert/strict'

import type {PreflightFacts, Severity} from '../../../src/lib/migration/preflight/check.js'
import {targetChecks} from '../../../src/lib/migration/preflight/checks/target.js'
import {dumpOf, healthyFacts, makeMaster} from './healthy-facts.js'

type Change = (facts: PreflightFacts) => void

const dead = (address: string) => ({address, alive: false})

async function says(id: string, change: Change, severity: Severity, evidence: string, remedy = ''): Promise<void> {
  const facts = healthyFacts()
  change(facts)
  const found = await targetChecks.find((check) => check.id === id)!.run(facts)
  assert.deepEqual(found, {evidence, remedy, severity})
}

describe('preflight: servers of the target', () => {
  const servers = says.bind(undefined, 'target-servers')
  const allowed = 'replica counts of 1 to 5 allowed'
  const limits = (facts: PreflightFacts, min?: string, max?: string) => {
    for (const meta of facts.target.metas) {
      meta.dump = dumpOf('onebox2', (text) => {
        text.meta_server = {
          ...(max === undefined ? {} : {max_allowed_replica_count: max}),
          ...(min === undefined ? {} : {min_allowed_replica_count: min}),
        }
      })
    }
  }

  it('are enough', async () => {
    await servers(() => {}, 'ok', `3 living servers for 3 replicas, ${allowed}`)
    await servers((facts) => limits(facts), 'ok', '3 living servers for 3 replicas')
    const told: Change = ({target}) => {
      target.metas[0]!.dump = undefined
    }

    await servers(told, 'ok', `3 living servers for 3 replicas, ${allowed}`)
    await servers(({target}) => target.metas.splice(0), 'ok', '3 living servers for 3 replicas')
  })

  it('are enough for now', async () => {
    const remedy = 'start them or take them out'
    const lost: Change = ({target}) => target.nodes.push(dead('10.0.1.8:34801'), dead('10.0.1.9:34801'))
    const evidence = `3 living servers for 3 replicas, ${allowed}; dead: 10.0.1.8:34801, 10.0.1.9:34801`
    await servers(lost, 'warning', evidence, remedy)
  })

  it('are too few', async () => {
    const remedy = 'start or add replica servers on the target'
    const few: Change = ({target}) => target.nodes.splice(1)
    await servers(few, 'error', 'the target has 1 living server, the table needs 3', remedy)
    const lost: Change = ({target}) => {
      target.nodes = [target.nodes[0]!, target.nodes[1]!, dead('10.0.1.3:34801')]
    }

    const evidence = 'the target has 2 living servers, the table needs 3; dead: 10.0.1.3:34801'
    await servers(lost, 'error', evidence, remedy)
  })

  it('may have as many replicas as the table has', async () => {
    const remedy = 'change [meta_server] *_allowed_replica_count of the target, or the table'
    const evidence = (range: string) => `the table has 3 replicas, the target allows ${range}`
    await servers((facts) => limits(facts, '4', '5'), 'error', evidence('4 to 5'), remedy)
    await servers((facts) => limits(facts, '1', '2'), 'error', evidence('1 to 2'), remedy)
    const exactly = '3 living servers for 3 replicas, replica counts of 3 to 3 allowed'
    await servers((facts) => limits(facts, '3', '3'), 'ok', exactly)
  })

  it('need a secondary on the source before master', async () => {
    const single: Change = ({source}) => {
      source.table.maxReplicaCount = 1
    }

    const evidence =
      'the table has one replica: on 2.5 its duplication would stay in DS_APP for ever, waiting for a secondary'
    await servers(single, 'error', evidence, 'raise the replica count of the source table first (set_replica_count)')
    const master: Change = (facts) => {
      makeMaster(facts)
      single(facts)
    }

    await servers(master, 'ok', `3 living servers for 1 replica, ${allowed}`)
  })
})

describe('preflight: room on the target', () => {
  const disk = says.bind(undefined, 'target-disk')
  const remedy = 'make room on the target, or add servers'
  const free =
    (...freeMb: (number | undefined)[]): Change =>
    ({target}) => {
      for (const [index, server] of target.servers.entries()) {
        server.freeMb = freeMb[index]
      }
    }

  const figures = (mb: number) => `the table takes 300 MB with all replicas; 3 target servers have ${mb} MB free`

  it('is enough for the copy twice', async () => {
    await disk(free(200, 200, 200), 'ok', figures(600))
    await disk(free(200, 200, 199), 'warning', figures(599), remedy)
  })

  it('is enough for the copy', async () => {
    await disk(free(100, 100, 100), 'warning', figures(300), remedy)
    await disk(free(100, 100, 99), 'confirm', figures(299), remedy)
  })

  it('is rounded', async () => {
    await disk(free(300.4, 300.3, 300.1), 'ok', figures(901))
  })

  it('is not told by every server', async () => {
    const single: Change = (facts) => {
      free(700)(facts)
      facts.target.servers[2]!.alive = false
    }

    await disk(
      single,
      'ok',
      'the table takes 300 MB with all replicas; 1 target server has 700 MB free, not told by 10.0.1.2:34801',
    )
  })

  it('is not known', async () => {
    const unknown = 'not known: the servers did not tell the size of the table or their free room'
    await disk(free(), 'skipped', unknown)
    const untold: Change = ({source}) => {
      source.servers[2]!.tableMb = undefined
    }

    await disk(untold, 'skipped', unknown)
  })
})
