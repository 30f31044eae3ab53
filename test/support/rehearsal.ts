import {type Clock, sleep} from '../../src/lib/clock.js'
import type {Effect} from '../../src/lib/migration/effects.js'
import type {UnstampedEvent} from '../../src/lib/migration/events.js'
import {
  type Migrate,
  type MigrateHooks,
  type MigrationPlan,
  type MigrationResult,
  type PhaseId,
  phaseIds,
} from '../../src/lib/migration/index.js'
import type {CheckResult} from '../../src/lib/migration/preflight/check.js'
import type {WindowPrediction} from '../../src/lib/migration/preflight/prediction.js'
import type {MigrationRequest} from '../../src/lib/migration/request.js'

/** What the rehearsal plays: how far it goes, and what it does about being stopped. */
export type Plot =
  /** The first cutover is taken back, the second one is good. */
  | 'again'
  /** Throws in the drain, as only a bug would. */
  | 'breaks'
  /** An earlier run has switched: only the end is left. */
  | 'committed'
  /** Preflight wants a confirmation. */
  | 'confirm'
  /** Hears no signal once writes are denied. */
  | 'deaf'
  /** The target falls behind in the drain: the deny is taken back. */
  | 'fails'
  | 'succeeds'

const checks: CheckResult[] = [
  {
    evidence: 'table users, id 2, is available',
    id: 'source-table',
    remedy: '',
    severity: 'ok',
    title: 'the table is there',
  },
  {
    evidence: 'all 24 replicas',
    id: 'data-version',
    remedy: '',
    severity: 'ok',
    title: 'every replica has data version 1',
  },
  {
    evidence:
      'group_check_interval_ms is 100000 on 10.0.0.11:34801, 10.0.0.12:34801: the last write of each partition ships only after up to 200 s',
    id: 'group-check',
    remedy: 'lower group_check_interval_ms to 10000 on the source servers, in the config file and by a restart',
    severity: 'warning',
    title: 'the last write ships quickly',
  },
  {evidence: 'not asked', id: 'metaproxy-acl', remedy: '', severity: 'skipped', title: 'the node may be written'},
]

const window = (spreadMs: number): WindowPrediction => ({
  drainMs: {max: 22_000, min: 10_000},
  parts: [],
  spreadMs,
  sumMs: 2 * spreadMs + 32_000,
  switchMs: 10_000,
  undoMs: spreadMs,
})

const plan: MigrationPlan = {
  fastWindow: window(2000),
  partitionCount: 8,
  replicaCount: 3,
  source: {generation: '2.5', versions: ['2.5.0']},
  tableMb: 4711,
  target: {generation: '2.5', versions: ['2.5.0']},
  window: window(31_000),
}

const unwatched: CheckResult = {
  evidence: '3 clients name the metas of the source: they never follow a switch',
  id: 'direct-clients',
  remedy: 'give them the address of a metaproxy first',
  severity: 'confirm',
  title: 'every client goes through metaproxy',
}

class Failure extends Error {}

/** One run on a clock of its own; emits what the library emits, in its order, and changes nothing anywhere. */
class Rehearsal {
  private denied = false
  private deniedAtMs = 0
  private readonly effects: string[] = []
  private readonly result: MigrationResult

  constructor(
    private readonly plot: Plot,
    private readonly clock: Clock,
    private readonly request: MigrationRequest,
    private readonly hooks: MigrateHooks,
    private readonly signal: AbortSignal,
    private readonly dryRun: boolean,
  ) {
    this.result = {
      checks: [],
      earlierWindows: [],
      effects: [],
      outcome: 'migrated',
      phases: [],
      plan,
      schema: 1,
      settingsPutBack: [],
      source: {cluster: 'onebox', metas: request.sourceMetas, tableId: 2},
      table: request.table,
      target: {cluster: request.targetCluster, metas: request.targetMetas, tableId: 5},
      warnings: [],
      writeDeny: {},
    }
  }

  async run(): Promise<MigrationResult> {
    let phase: PhaseId = 'preflight'
    try {
      for (phase of phaseIds) {
        if (this.plot === 'committed' && !['finish', 'preflight', 'switch'].includes(phase)) continue
        if (phase === 'duplicate' && !this.dryRun && !(await this.confirmed()))
          return {...this.result, outcome: 'refused'}
        if (phase === 'deny' && this.plot === 'again') await this.cutoverInVain()
        await this.phase(phase)
      }
    } catch (error) {
      if (this.plot === 'breaks') throw error
      const message = error instanceof Error ? error.message : String(error)
      this.emit({error: message, phase, type: 'phase-failed'})
      this.result.phases.push({durationMs: 1000, phase, state: 'failed', summary: message})
      await this.undo(message)
      const refused = phase === 'preflight'
      return {
        ...this.result,
        error: {code: refused ? 'preflight.refused' : 'drain.limit', facts: {partition: 3}, message},
        next: 'Running the same command again goes on from here.',
        outcome: refused ? 'refused' : 'stopped',
      }
    }

    return {...this.result, effects: this.effects, outcome: this.dryRun ? 'dry-run' : 'migrated'}
  }

  private async cutoverInVain(): Promise<void> {
    await this.phase('deny')
    this.emit({phase: 'drain', type: 'phase-started'})
    this.emit({error: 'partition 3 was too slow', phase: 'drain', type: 'phase-failed'})
    await this.undo('partition 3 was too slow')
    const message = 'cutover 1 of 3 was taken back; catching up again'
    this.emit({code: 'cutover.again', message, type: 'warning'})
    this.result.earlierWindows.push(this.result.writeDeny)
    this.result.writeDeny = {}
    await this.phase('catch-up')
  }

  private confirmed(): Promise<boolean> {
    const effects = [
      'add a duplication of users to cluster onebox2, with a checkpoint of its data',
      "set replica.deny_client_request=timeout*write on the source's users: writes are denied from here on",
    ]
    return this.hooks.confirm({effects, result: this.result})
  }

  private emit(event: UnstampedEvent): void {
    this.hooks.emit({...event, atMs: this.clock.wallMs()})
  }

  private effect(effect: Effect, sentence: string): void {
    this.effects.push(sentence)
    if (this.dryRun) return this.emit({effect, sentence, state: 'would', type: 'effect'})
    this.emit({effect, sentence, state: 'begin', type: 'effect'})
    this.emit({effect, sentence, state: 'done', type: 'effect'})
  }

  private async pass(seconds: number): Promise<void> {
    if (!this.dryRun) await sleep(this.clock, seconds * 1000, this.signal)
  }

  private async wait(phase: PhaseId, step: string, parts: number, seconds: number): Promise<void> {
    for (let done = 0; done <= parts && !this.dryRun; done++) {
      const lagMutations = Math.round(12_000 * (1 - done / parts))
      this.emit({
        phase,
        progress: {
          ...(this.denied ? {deniedForMs: this.clock.wallMs() - this.deniedAtMs} : {}),
          confirmedMutations: 500_000 - lagMutations,
          etaMs: (parts - done) * (seconds / parts) * 1000,
          lagMutations,
          partitionCount: parts,
          partitionsDone: done,
          text: `${done} of ${parts} partitions are there`,
          ...(done < parts
            ? {worst: `partition ${parts - 1} on 10.0.0.1${done}:34801, ${lagMutations} mutations behind`}
            : {}),
        },
        step,
        type: 'progress',
      })
      await this.pass(seconds / parts)
    }
  }

  private async phase(phase: PhaseId): Promise<void> {
    const startMs = this.clock.wallMs()
    if (phase === 'switch' && !this.request.metaproxy && this.request.afterDrain === 'lift')
      throw new Failure('not moved')
    this.emit({phase, type: 'phase-started'})
    await this.act(phase)
    const summary = this.summary(phase)
    const durationMs = this.clock.wallMs() - startMs
    this.result.phases.push({durationMs, phase, state: 'done', summary})
    this.emit({durationMs, phase, summary, type: 'phase-finished'})
  }

  private async act(phase: PhaseId): Promise<void> {
    switch (phase) {
      case 'preflight': {
        return this.preflight()
      }

      case 'duplicate': {
        this.effect(
          {kind: 'add-duplication', remoteCluster: 'onebox2'},
          'add a duplication of users to cluster onebox2, with a checkpoint of its data',
        )
        return this.wait(phase, 'wait for DS_LOG', 8, 20)
      }

      case 'deny': {
        this.denied = true
        this.deniedAtMs = this.clock.wallMs()
        this.result.writeDeny.setAtMs = this.deniedAtMs
        this.effect(
          {before: null, kind: 'deny', value: 'timeout*write'},
          "set replica.deny_client_request=timeout*write on the source's users: writes are denied from here on",
        )
        await this.wait(phase, 'prove it on every primary', 8, 6)
        const nowMs = this.clock.wallMs()
        this.result.writeDeny.firstRefusedAtMs = this.deniedAtMs
        this.result.writeDeny.lastRefusedAtMs = nowMs - 1000
        this.result.writeDeny.provedAtMs = nowMs
        this.result.writeDeny.partitions = Array.from({length: 8}, (_, partition) => ({
          partition,
          refusedAtMs: Math.round(this.deniedAtMs + (partition / 7) * (nowMs - 1000 - this.deniedAtMs)),
          server: `10.0.0.1${partition % 3}:34801`,
        }))
        return
      }

      case 'drain': {
        await this.wait(phase, 'wait until everything accepted is on the target', 8, 10)
        if (this.plot === 'deaf') await sleep(this.clock, 3_600_000)
        if (this.plot === 'breaks') throw new TypeError('undefined is not a partition')
        if (this.plot === 'fails')
          throw new Failure('partition 3 on 10.0.0.13:34801 is 12 mutations behind \u001B[31mstill\u001B[0m')
        return
      }

      case 'switch': {
        return this.switchOver()
      }

      default: {
        return this.wait(phase, phase, 4, 4)
      }
    }
  }

  private async preflight(): Promise<void> {
    const all = this.plot === 'confirm' ? [...checks, unwatched] : checks
    for (const check of all) this.emit({check, type: 'check'})
    this.result.checks = all
    await this.pass(1)
    if (this.plot === 'confirm' && !this.request.accepted.includes(unwatched.id))
      throw new Failure('users cannot be migrated as things are')
  }

  private async switchOver(): Promise<void> {
    const {metaproxy} = this.request
    if (metaproxy)
      this.effect(
        {
          before: '{}',
          beforeVersion: 3,
          bytes: '{"cluster_name":"onebox2"}',
          kind: 'switch-node',
          path: `${metaproxy.root}/users`,
        },
        `write {"cluster_name":"onebox2"} to ZooKeeper node ${metaproxy.root}/users at version 3 (compare-and-set)`,
      )
    else if (!this.dryRun && (await this.hooks.askMoved(this.signal)) === 'abort')
      throw new Failure('users is drained, and the applications stay on the source')
    const nowMs = this.clock.wallMs()
    this.denied = false
    Object.assign(this.result.writeDeny, {drainedAtMs: nowMs, switchedAtMs: nowMs, windowMs: nowMs - this.deniedAtMs})
    this.emit({
      code: 'switch.unconfirmed',
      message: 'no --proxy was given: nobody confirmed that clients are sent to the target',
      type: 'warning',
    })
    this.result.warnings.push('no --proxy was given: nobody confirmed that clients are sent to the target')
    this.effect(
      {before: 'timeout*write', kind: 'close-source', value: 'reconfig*all'},
      "set replica.deny_client_request=reconfig*all on the source's users, so that remaining clients go away",
    )
    await this.wait('switch', 'send remaining clients away', 8, 4)
    if (!this.dryRun) this.result.writeDeny.sourceClosedAtMs = this.clock.wallMs()
  }

  private summary(phase: PhaseId): string {
    return phase === 'switch' ? 'onebox2 serves; writes were denied for 16.2 s' : '8 partitions'
  }

  private async undo(reason: string): Promise<void> {
    if (!this.denied) return
    this.emit({reason, sentence: 'writes to users are allowed again; this takes up to 31 s', type: 'undo-started'})
    this.emit({
      effect: {before: null, kind: 'lift-deny'},
      sentence: "delete replica.deny_client_request from the source's users: writes are allowed again",
      state: 'done',
      type: 'effect',
    })
    for (const proved of [2, 5, 8]) {
      await sleep(this.clock, 2000)
      this.emit({sentence: `${proved} of 8 partitions accept writes again`, type: 'undo-progress'})
    }

    this.denied = false
    this.result.writeDeny.liftedAtMs = this.clock.wallMs()
    this.result.writeDeny.windowMs = this.clock.wallMs() - this.deniedAtMs
    this.emit({ok: true, sentence: 'every primary accepts writes again (proved by probe)', type: 'undo-finished'})
  }
}

/** A `migrate` that acts the whole migration. */
export function rehearse(plot: Plot): Migrate {
  return (request, {clock}, hooks, {dryRun, signal}) => new Rehearsal(plot, clock, request, hooks, signal, dryRun).run()
}
