/* eslint-disable no-template-curly-in-string -- sources, not templates */
/** One change of a source file; `find` must be there exactly once. */
export interface Edit {
  file: string
  find: string
  replace: string
}

/** A bug that the simulation must find. It lives here only: the sources are changed as they are loaded. */
export interface PlantedBug {
  edits: Edit[]
  id: string
  /** What is forgotten or wrong. */
  what: string
}

const lib = 'src/lib/migration'

function bug(id: string, what: string, ...edits: [file: string, find: string, replace: string][]): PlantedBug {
  return {edits: edits.map(([file, find, replace]) => ({file, find, replace})), id, what}
}

export const planted: readonly PlantedBug[] = [
  bug('no-fence', 'the drain takes nothing for a fence: whatever is shipped is enough', [
    `${lib}/proof/fence-book.ts`,
    'return fence !== undefined && (this.shippedDecrees.get(index) ?? -1) >= fence.decree',
    'return fence !== undefined',
  ]),
  bug('drain-by-rate', 'few pending mutations count as none', [
    `${lib}/proof/fence-book.ts`,
    '(this.shippedDecrees.get(index) ?? -1) >= fence.decree',
    '(this.shippedDecrees.get(index) ?? -1) >= fence.decree - 2',
  ]),
  bug('no-ballot-check', 'a primary that moved between deny, drain and switch is not noticed', [
    `${lib}/proof/primaries.ts`,
    'return old?.ballot !== ballot || old.server !== server',
    'return old === undefined && ballot < 0 && server === ""',
  ]),
  bug(
    'deny-not-proved',
    'the deny is believed as soon as it is set',
    [
      `${lib}/phases/deny.ts`,
      "{act: setDeny, title: 'deny writes', wait: proveDenied}",
      `{act: setDeny, title: 'deny writes', wait: async (context) => {
      const {primaries} = await readPrimaries(context.source, context.request.table, context.signal)
      context.state.denied = new Map([...primaries].map(([index, primary]) => [index, {...primary, sinceMs: 0}]))
      context.state.window.provedAtMs = context.clock.wallMs()
    }}`,
    ],
    [
      `${lib}/phases/still-denied.ts`,
      'if (!rounds) return (await proveDeny(context, this.report)).primaries',
      'return (await readPrimaries(context.source, context.request.table, context.signal)).primaries',
    ],
  ),
  bug(
    'deny-loss-unseen',
    'nobody looks whether the deny is still there when the drain ends',
    [
      `${lib}/phases/drain-pass.ts`,
      'if (table?.envs.get(DENY_ENV) !== `${request.denyMode}*write`) {',
      'if (table?.envs.get(DENY_ENV) === "never") {',
    ],
    [
      `${lib}/phases/still-denied.ts`,
      'if (!rounds) return (await proveDeny(context, this.report)).primaries',
      'if (!rounds) return (await readPrimaries(context.source, context.request.table, context.signal)).primaries',
    ],
  ),
  bug('blind-node-write', 'the node is written whatever its version is, and whoever holds the lock', [
    'src/lib/metaproxy/zookeeper-store.ts',
    'const outcome = await this.access.commit(intent.parts, limit)',
    `const {version: now} = await this.access.getData(intent.path, limit)
        const outcome = await this.access.commit([{...intent.parts.at(-1)!, version: now}], limit)`,
  ]),
  bug('switch-without-lock', 'the switch does not look at the lock in its transaction', [
    `${lib}/effects-live.ts`,
    'effect.beforeVersion, signal, check ? [check] : [])',
    'effect.beforeVersion, signal, [])',
  ]),
  bug('lock-not-checked', 'a lost lock is not noticed before an effect', [
    `${lib}/effects-journaled.ts`,
    'await (mending.has(effect.kind) ? this.lock?.regain(signal) : this.lock?.check(signal))',
    '',
  ]),
  bug('undo-forgotten-after-lost-answer', 'a deny whose answer was lost is not taken back', [
    `${lib}/undo.ts`,
    'if (!state.denySet) {',
    'if (!state.denySet || state.denyUnanswered) {',
  ]),
  bug('undo-forgotten-in-drain', 'a drain that fails leaves the deny where it is', [
    `${lib}/undo.ts`,
    'if (!state.denySet) {',
    "if (!state.denySet || options.reason.includes('within the time of the drain')) {",
  ]),
  bug('lift-not-proved', 'nobody looks whether the servers heard that writes are allowed again', [
    `${lib}/mend.ts`,
    "await insist(context, options, 'proving that writes are allowed', async () => {",
    "if (configSyncMs > 0) return\n  await insist(context, options, 'proving that writes are allowed', async () => {",
  ]),
  bug('uncertain-switch-lifted', 'after a switch whose answer was lost the deny is lifted without a look at the node', [
    `${lib}/undo.ts`,
    "if (state.commit === 'uncertain') {",
    "if (state.commit === 'uncertain' && signal === undefined) {",
  ]),
  bug('guard-lifts-what-was-switched', 'who takes the commit away does not see that the node names the target', [
    `${lib}/mend.ts`,
    "if (namesTarget(node.data, request)) return 'switched'",
    '',
  ]),
  bug('guard-keeps-commit', 'the guard lifts the deny without taking the commit away', [
    `${lib}/guard/guard.ts`,
    "context.state.commit = context.store ? 'uncertain' : 'none'",
    "context.state.commit = 'none'",
  ]),
  bug('guard-asleep', 'the guard never acts', [
    `${lib}/guard/guard.ts`,
    'SILENT_DRIVER_MS = 5000',
    'SILENT_DRIVER_MS = 500_000_000',
  ]),
  bug(
    'word-not-claimed',
    'the word is given although the guard has lifted the deny',
    [
      `${lib}/guard/handle.ts`,
      "if (!(await this.channel.claim('word'))) throw acted()",
      "await this.channel.claim('word')",
    ],
    [`${lib}/guard/handle.ts`, "if ((await this.channel.claimant()) === 'guard') throw acted()", ''],
  ),
  bug('commit-forgotten', 'a switch that took place is forgotten: a Ctrl-C after it takes the deny back', [
    `${lib}/phases/switch.ts`,
    "state.commit = 'done'\n    state.window.switchedAtMs = clock.wallMs()\n    if (nodeVersion",
    "state.commit = 'none'\n    state.window.switchedAtMs = clock.wallMs()\n    if (nodeVersion",
  ]),
  bug('no-pause', 'shipping is not stopped between drain and switch', [
    `${lib}/phases/drain.ts`,
    'whileLooking(context, stopShipping)',
    'whileLooking(context, async () => {})',
  ]),
  bug('batching', 'mutations are shipped in batches, out of order', [
    `${lib}/settings.ts`,
    "export const BATCH_BYTES_WANTED = '0'",
    "export const BATCH_BYTES_WANTED = '4096'",
  ]),
  bug('deny-before-create', 'writes are denied before the duplication has made its copy', [
    `${lib}/phases/duplicate.ts`,
    '  const dupid = await addOrSayNot(context)\n',
    "  await effects.perform({before: null, kind: 'deny', value: `${request.denyMode}*write`}, signal)\n  const dupid = await addOrSayNot(context)\n",
  ]),
  bug('interval-back-too-early', 'the long config sync is put back before the deny is lifted', [
    `${lib}/undo.ts`,
    '    await letGoOn(context, options)\n',
    "    await putSettingsBack(context, signal, (effect) => effect.kind === 'set-server-config' && effect.name === 'config_sync_interval_ms')\n    await letGoOn(context, options)\n",
  ]),
  bug('batching-back-too-early', 'shipping in batches is put back while the duplication is kept', [
    `${lib}/undo.ts`,
    'if (dryRun || context.hints.settings.length === 0 || state.dupid !== 0) return',
    'if (dryRun || context.hints.settings.length === 0) return',
  ]),
  bug(
    'source-left-open',
    'the source is not closed after the switch, and nobody looks at the end whether it is',
    [
      `${lib}/phases/switch.ts`,
      "{act: closeSource, title: 'send remaining clients of the source away', wait: proveClosed},",
      '',
    ],
    [
      `${lib}/phases/keep-closed.ts`,
      'if (found === CLOSED) return',
      'if (found !== CLOSED || found === CLOSED) return',
    ],
  ),
  bug('settings-left', 'settings of servers are not put back at the end', [
    `${lib}/phases/finish.ts`,
    '{act: restore,',
    '{act: async () => {},',
  ]),
  bug(
    'settings-forgotten-on-resume',
    'what an earlier run changed is forgotten, and nobody looks at the servers for it',
    [`${lib}/journal.ts`, 'return {...hints, settings: [...settings.values()]}', 'return {...hints, settings: []}'],
    [
      `${lib}/found-settings.ts`,
      'if (othersDuplicate) return []',
      'if (othersDuplicate || !othersDuplicate) return []',
    ],
  ),
  bug('journal-after-only', 'an effect is written down only when it is done', [
    `${lib}/effects-journaled.ts`,
    "await this.write({effect, kind: 'before'}, mending.has(effect.kind))",
    '',
  ]),
  bug('follower-envs-left', 'the copy stays a follower', [
    `${lib}/phases/finish.ts`,
    '{act: cleanTarget, title: "clean the target\'s envs"},',
    '',
  ]),
  bug(
    'resume-trusts-journal',
    'a switch that was begun counts as done, whatever the node says',
    [
      `${lib}/journal.ts`,
      "if (effect.kind === 'close-source') hints.closed = true",
      "if (effect.kind === 'close-source' || effect.kind === 'switch-node') hints.closed = true",
    ],
    [
      `${lib}/position.ts`,
      'const isSwitched = node !== undefined && namesTarget(node.data, request)',
      'const isSwitched = node !== undefined && namesTarget(node.data, request) || hints.closed === true',
    ],
  ),
  bug('denied-position-unseen', 'an earlier deny is not taken back by the next run', [
    `${lib}/position.ts`,
    'if (deny !== undefined && hints.deny === deny) {',
    'if (deny !== undefined && hints.deny === "never") {',
  ]),
  bug('rollback-blind-to-node', 'a rollback does not look whether the table was handed over', [
    `${lib}/rollback/plan.ts`,
    "if (node.side === 'target') return true",
    "if (node.side === 'target') return false",
  ]),
  bug('rollback-removes-under-load', 'a rollback removes a duplication while it ships', [
    `${lib}/rollback/duplication.ts`,
    '  const busy = await whyBusy(context)\n',
    '  const busy = undefined as string | undefined\n',
  ]),
  bug(
    'target-not-looked-at',
    'nobody looks whether the target takes writes',
    [`${lib}/phases/deny.ts`, '  await requireWritableTarget(context)\n', ''],
    [`${lib}/phases/deny.ts`, '  await requireFitTarget(context)\n', ''],
    [`${lib}/phases/switch.ts`, 'if (!context.dryRun) await requireFitTarget(context)', ''],
  ),
  bug('pause-too-early', 'shipping is stopped before everything has arrived', [
    `${lib}/phases/drain.ts`,
    "{title: 'wait until everything accepted is on the target', wait: waitUntilDrained},",
    // Partitions that were not drained at all would be drained once more: shipping is stopped as if they had been.
    `{title: 'wait until everything accepted is on the target', wait: async ({request, signal, source, state}) => {
      state.drained = (await readPrimaries(source, request.table, signal)).primaries
    }},`,
  ]),
]
