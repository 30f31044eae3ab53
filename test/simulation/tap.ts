import {MigratorError} from '../../src/lib/errors.js'
import type {Effect, EffectKind, EffectOutcome, Effects} from '../../src/lib/migration/effects.js'
import type {SimulatedCluster} from '../sandbox/index.js'
import type {Life} from './life.js'
import type {Simulation} from './simulation.js'

/** What happens to one effect. */
export type EffectFault =
  /** It takes place; then the connection is cut instead of an answer. */
  | 'cut-after'
  /** It is refused. */
  | 'error'
  | 'kill-after'
  | 'kill-before'
  /** It takes place; its answer never comes. */
  | 'lost-answer'
  /** It is never heard of: neither effect nor answer. */
  | 'silence'

/** Which call of which cluster carries an effect out; `commit`: a transaction in ZooKeeper. */
function callOf(effect: Effect): {call: string; cluster: 'source' | 'target' | 'zookeeper'} {
  switch (effect.kind) {
    case 'add-duplication': {
      return {call: 'RPC_CM_ADD_DUPLICATION', cluster: 'source'}
    }

    case 'close-source':
    case 'deny':
    case 'lift-deny':
    case 'open-source-reads': {
      return {call: 'RPC_CM_UPDATE_APP_ENV', cluster: 'source'}
    }

    case 'close-target':
    case 'delete-target-envs':
    case 'deny-target':
    case 'lift-target': {
      return {call: 'RPC_CM_UPDATE_APP_ENV', cluster: 'target'}
    }

    case 'drop-target-table': {
      return {call: 'RPC_CM_DROP_APP', cluster: 'target'}
    }

    case 'pause-duplication':
    case 'remove-duplication':
    case 'resume-duplication': {
      return {call: 'RPC_CM_MODIFY_DUPLICATION', cluster: 'source'}
    }

    case 'set-meta-level': {
      return {call: 'RPC_CM_CONTROL_META', cluster: effect.side}
    }

    case 'set-server-config': {
      return {call: 'GET /updateConfig', cluster: effect.side}
    }

    case 'switch-node':
    case 'switch-node-back':
    case 'take-commit-away': {
      return {call: 'commit', cluster: 'zookeeper'}
    }

    case 'trigger-checkpoint': {
      return {call: 'RPC_CLI_CLI_CALL', cluster: 'source'}
    }
  }
}

/** Effects of one command, counted; what `decide` says happens to each. */
export class Tap {
  readonly seen: Effect[] = []
  /** Whether `decide` has asked for anything. */
  struck = false

  constructor(
    private readonly simulation: Simulation,
    private readonly decide: (index: number, effect: Effect) => EffectFault | undefined = () => undefined,
  ) {}

  get kinds(): EffectKind[] {
    return this.seen.map(({kind}) => kind)
  }

  wrap(live: Effects, life: Life): Effects {
    return {
      perform: (effect, signal) => {
        const fault = this.decide(this.seen.push(effect) - 1, effect)
        if (fault === undefined) return live.perform(effect, signal)
        this.struck = true
        return this.strike(fault, effect, () => live.perform(effect, signal), life)
      },
    }
  }

  private async strike(
    fault: EffectFault,
    effect: Effect,
    perform: () => Promise<EffectOutcome>,
    life: Life,
  ): Promise<EffectOutcome> {
    if (fault === 'kill-before') return dead(life)
    if (fault === 'kill-after') {
      await perform()
      return dead(life)
    }

    const {call, cluster} = callOf(effect)
    if (cluster === 'zookeeper') return this.inZooKeeper(fault, perform)
    arrange(this.simulation[cluster], call, fault)
    return perform()
  }

  private async inZooKeeper(
    fault: Exclude<EffectFault, 'kill-after' | 'kill-before'>,
    perform: () => Promise<EffectOutcome>,
  ): Promise<EffectOutcome> {
    if (fault === 'error') throw new MigratorError('zk.unreachable', 'nothing answers at ZooKeeper', {retrySafe: true})
    let left = 1
    this.simulation.sessionFault = (operation) =>
      operation === 'commit' && left-- > 0 ? (fault === 'silence' ? 'cut-before' : 'cut-after') : undefined
    return perform()
  }
}

function dead(life: Life): Promise<never> {
  life.kill()
  return new Promise(() => {})
}

function arrange(cluster: SimulatedCluster, call: string, fault: EffectFault): void {
  if (fault === 'error') cluster.failCall(call, 'ERR_INVALID_STATE')
  if (fault === 'silence') cluster.ignoreCalls(call)
  if (fault === 'lost-answer') cluster.loseAnswer(call)
  if (fault === 'cut-after') cluster.closeAfter(call)
}
