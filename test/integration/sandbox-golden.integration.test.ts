import assert from 'node:assert/strict'

import {goldenExchanges, goldenHttp} from '../support/golden.js'
import {HTTP_HOOKS, NOT_APPLICABLE, RPC_HOOKS} from '../sandbox/golden/hooks.js'
import {httpDifferences} from '../sandbox/golden/http-replay.js'
import {Replay, type TableNames} from '../sandbox/golden/replay.js'
import {GoldenScenario} from '../sandbox/golden/scenario.js'
import {type Profile, type Sandbox, startSandbox, VirtualClock} from '../sandbox/index.js'

interface Bed {
  file: '2.5.0' | 'master'
  profile: Profile
  /** Which table a table id of the golden bed stood for when rows and HTTP were captured. */
  tables: TableNames
}

const BEDS: Bed[] = [
  {file: '2.5.0', profile: '2.5', tables: {1: 'gt_plain', 2: 'gt_dup', 12: 'gt_go'}},
  {file: 'master', profile: 'master', tables: {1: 'gt_plain', 2: 'gt_dup', 4: 'gt_plain', 5: 'gt_dup', 9: 'at_yes'}},
]

describe('the sandbox answers as the golden servers did', function () {
  this.timeout(60_000)

  for (const bed of BEDS) {
    describe(`RPC of ${bed.file}`, () => {
      const exchanges = goldenExchanges().filter((e) => e.file.includes(bed.file))
      let clock: VirtualClock
      let sandbox: Sandbox
      let scenario: GoldenScenario
      let replay: Replay
      const prepared = new Set<string>()

      before(async () => {
        clock = new VirtualClock()
        sandbox = await clock.run(startSandbox({clock, listen: 'memory', profile: bed.profile}))
        scenario = new GoldenScenario(sandbox, clock)
        replay = new Replay(sandbox, clock, bed.tables)
      })

      after(() => clock.run(sandbox.stop()))

      for (const exchange of exchanges) {
        const title = `${exchange.case} (${exchange.header}, line ${exchange.line})`
        const reason = NOT_APPLICABLE[exchange.case]
        if (reason !== undefined) {
          it(`${title}: not applicable, ${reason}`)
          continue
        }

        it(title, async () => {
          const hook = RPC_HOOKS[exchange.case]
          if (hook && !prepared.has(exchange.case)) await clock.run(Promise.resolve(hook(scenario)))
          prepared.add(exchange.case)
          assert.deepEqual(await clock.run(replay.differences(exchange)), [])
        })
      }
    })

    describe(`HTTP of ${bed.file}`, () => {
      let clock: VirtualClock
      let sandbox: Sandbox
      let scenario: GoldenScenario

      before(async () => {
        clock = new VirtualClock()
        sandbox = await clock.run(startSandbox({clock, listen: 'memory', profile: bed.profile}))
        scenario = new GoldenScenario(sandbox, clock)
        await scenario.ensureTable('gt_plain')
        await scenario.ensureTable('gt_dup')
        scenario.loadRows('gt_dup')
        await clock.advance(40_000)
      })

      after(() => clock.run(sandbox.stop()))

      for (const golden of goldenHttp(bed.file)) {
        it(golden.case, async () => {
          const hook = HTTP_HOOKS[golden.case]
          if (hook) await clock.run(Promise.resolve(hook(scenario)))
          const {source} = sandbox
          const isMeta = /^(meta|version\.meta|config\..*\.meta|root\.meta|unknown_path\.meta|envs|metrics\.meta)/
          const follower = /follower/.test(golden.case)
          const meta = follower ? source.metaServers.find((m) => !m.leads)! : source.leader!
          const toMeta = isMeta.test(golden.case) && !golden.case.startsWith('meta_path_on_replica')
          const ids = Object.entries(bed.tables).map(([id, name]) => {
            const table = source.state.tableNamed(name)
            return [new RegExp(`(app_?id=|table_id,)${id}\\b`), `$1${table?.info.appId ?? id}`] as const
          })
          const id = ids.find(([from]) => from.test(golden.request))
          const differences = await clock.run(
            httpDifferences(golden, {
              address: toMeta ? meta.address : source.servers[0]!.address,
              clock,
              replace: id ? [id] : [],
              transport: sandbox.transport,
            }),
          )
          assert.deepEqual(differences, [])
        })
      }
    })
  }
})
