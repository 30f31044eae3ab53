import assert from 'node:assert/strict'

import {faultMoments, killMoments, type Mend, type Moment, nameOf, type Place, runCase, runTrouble} from './matrix.js'
import {record, type Scenario} from './scenarios.js'
import {troubles} from './troubles.js'

/* Tests are made of a recording of each command, so that a new effect or wait makes new tests by itself. */

const CASE_LIMIT_MS = 60_000

/** One case of the matrix. */
export interface Case {
  name: string
  run(): Promise<void>
}

/** Killed at every moment; made good by each of `mends`. */
export async function killsOf(scenario: Scenario, mends: readonly Mend[]): Promise<Case[]> {
  const moments = killMoments(await record(scenario))
  return mends.flatMap((mend) => moments.map((moment) => caseOf(scenario, moment, mend)))
}

/** Every effect fails in every way. */
export async function faultsOf(scenario: Scenario): Promise<Case[]> {
  return faultMoments(await record(scenario)).map((moment) => caseOf(scenario, moment, 'resume'))
}

/** Every trouble begins in every phase and wait. */
export async function troublesOf(scenario: Scenario): Promise<Case[]> {
  const places = killMoments(await record(scenario)).filter((moment): moment is Place => 'place' in moment)
  return places.flatMap((place) =>
    troubles().map(({name}, index) => ({
      name: `${name}, ${place.nth === 1 ? 'at the' : 'in the'} ${place.place}`,
      run: () => runTrouble(scenario, place, troubles()[index]!),
    })),
  )
}

/** Every mend that makes sense after a scenario. */
export function mendsOf({kind}: Scenario): Mend[] {
  return kind === 'migrate' ? ['resume', 'rollback', 'guard'] : ['resume']
}

/** Makes a test of each case. */
export function define(title: string, cases: readonly Case[]): void {
  describe(title, function () {
    this.timeout(CASE_LIMIT_MS)
    it('has cases', () => assert.ok(cases.length > 0))
    for (const {name, run} of cases) it(name, run)
  })
}

function caseOf(scenario: Scenario, moment: Moment, mend: Mend): Case {
  const mended = scenario.kind === 'rollback' ? 'the same again' : mend
  return {name: `${nameOf(moment)}, then ${mended}`, run: () => runCase(scenario, moment, mend)}
}
