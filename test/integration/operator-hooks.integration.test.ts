import assert from 'node:assert/strict'
import {chmod, chown, mkdir, mkdtemp, readFile, rm, symlink, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import MigrateCommand from '../../src/commands/table/migrate.js'
import {systemClock} from '../../src/lib/clock.js'
import {isMigratorError} from '../../src/lib/errors.js'
import type {Migrate, MigrationWorld} from '../../src/lib/migration/index.js'
import {HookDirectory} from '../../src/lib/migration/operator-hooks/directory.js'
import type {HookFacts} from '../../src/lib/migration/operator-hooks/moments.js'
import {WHOLE_ARGV} from '../support/rehearsed-argv.js'
import {rehearse} from '../support/rehearsal.js'
import {runCommand} from '../support/run-command.js'

const facts: HookFacts = {
  dupid: 7,
  error: {code: 'drain.limit', facts: {}, message: 'too\0slow'},
  moment: 'failed',
  outcome: 'stopped',
  pendingMutations: 12,
  schema: 1,
  source: {cluster: 'onebox', metas: ['a:1', 'b:2']},
  table: 'users; rm -rf /',
  target: {cluster: 'onebox2', metas: ['c:3']},
  writeDeny: {setAtMs: 5, windowMs: 900},
}

/** Whether a process has ended; its parent, which would have asked for its exit code, may be gone before it. */
async function isGone(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat === '' || stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')
}

describe("a directory of operators' hooks", () => {
  let directory: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hooks-'))
  })

  afterEach(() => rm(directory, {force: true, recursive: true}))

  async function hook(name: string, script: string, mode = 0o755): Promise<string> {
    const path = join(directory, name)
    await writeFile(path, script)
    await chmod(path, mode)
    return path
  }

  const run = async (limitMs = 5000, signal = new AbortController().signal) =>
    (await HookDirectory.open(directory, systemClock)).run(facts, {limitMs, signal})

  it('gives a hook the facts on its standard input and in its environment, and no secret', async () => {
    await hook('failed', '#!/bin/sh\ncat > seen.json\nenv | sort\npwd\n')
    process.env.PEGASUS_ZK_AUTH = 'digest:me:hunter2'
    try {
      const {lines, ok, text} = await run()
      assert.deepEqual([ok, text], [true, 'exit code 0'])
      const env = new Map(
        lines
          .filter((line) => line.includes('='))
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      )
      assert.equal(env.get('PEGASUS_HOOK_MOMENT'), 'failed')
      assert.equal(env.get('PEGASUS_HOOK_TABLE'), 'users; rm -rf /')
      assert.equal(env.get('PEGASUS_HOOK_SOURCE_METAS'), 'a:1,b:2')
      assert.equal(env.get('PEGASUS_HOOK_OUTCOME'), 'stopped')
      assert.equal(env.get('PEGASUS_HOOK_ERROR'), 'tooslow')
      assert.equal(env.get('PEGASUS_HOOK_PENDING_MUTATIONS'), '12')
      assert.ok(env.has('PATH'))
      assert.ok(!lines.some((line) => line.includes('hunter2')))
      assert.deepEqual(JSON.parse(await readFile(join(directory, 'seen.json'), 'utf8')), facts)
    } finally {
      delete process.env.PEGASUS_ZK_AUTH
    }
  })

  it('tells the exit code, and what was said on both outputs', async () => {
    await hook('failed', '#!/bin/sh\necho one\necho two >&2\nexit 3\n')
    const {lines, ok, text} = await run()
    assert.deepEqual([ok, text], [false, 'exit code 3'])
    assert.deepEqual(lines.sort(), ['one', 'two'])
  })

  it('does not mind a hook that reads nothing and says much', async () => {
    await hook('failed', '#!/bin/sh\nexec <&-\nhead -c 300000 /dev/zero | tr "\\0" x\nexit 0\n')
    const {lines, ok} = await run()
    assert.equal(ok, true)
    assert.ok(lines.join('').length <= 65 * 1024)
    assert.equal(lines.at(-1), '(and more, which is not shown)')
  })

  it('ends a hook and its children when its time is over', async () => {
    await hook('failed', '#!/bin/sh\ntrap "" TERM\nsleep 60 &\necho $! > child\nwait\nsleep 60\n')
    const {ok, text} = await run(300)
    assert.deepEqual([ok, text], [false, 'not done after 0.3 s, ended'])
    const child = Number(await readFile(join(directory, 'child'), 'utf8'))
    assert.ok(await isGone(child))
  })

  it('ends a hook with the run', async () => {
    await hook('failed', '#!/bin/sh\nsleep 60\n')
    const abort = new AbortController()
    const running = run(60_000, abort.signal)
    systemClock.setTimer(100, () => abort.abort(new Error('stopped by SIGINT')))
    const {ok, text} = await running
    assert.deepEqual([ok, text], [false, 'ended, because the run is: stopped by SIGINT'])
  })

  it('does not wait for what a hook leaves running', async () => {
    await hook('failed', '#!/bin/sh\nsleep 5 &\necho $! > child\nexit 0\n')
    const {ok, tookMs} = await run()
    assert.equal(ok, true)
    assert.ok(tookMs < 3000, `${tookMs} ms`)
    process.kill(Number(await readFile(join(directory, 'child'), 'utf8')))
  })

  it('says so when a file cannot be run after all', async () => {
    await hook('failed', '#!/no/such/interpreter\n')
    const {ok, text} = await run()
    assert.equal(ok, false)
    assert.match(text, /ENOENT/)
  })

  it('looks at a file again before it is run', async () => {
    const path = await hook('failed', '#!/bin/sh\nexit 0\n')
    const opened = await HookDirectory.open(directory, systemClock)
    await chmod(path, 0o777)
    const {ok, text} = await opened.run(facts, {limitMs: 5000, signal: new AbortController().signal})
    assert.equal(ok, false)
    assert.match(text, /others may write to it/)
  })

  it('knows its moments, and executables that are none', async () => {
    await hook('finished', '#!/bin/sh\n')
    await hook('before_deny', '#!/bin/sh\n')
    await hook('README', 'nothing', 0o644)
    const opened = await HookDirectory.open(directory, systemClock)
    assert.deepEqual([opened.has('finished'), opened.has('failed'), opened.others], [true, false, ['before_deny']])
  })

  const refused: [string, () => Promise<unknown>, RegExp][] = [
    ['a file that others may write to', () => hook('failed', '', 0o757), /failed is not run: others may write to it/],
    [
      'a file that the group may write to',
      () => hook('failed', '', 0o775),
      /failed is not run: others may write to it/,
    ],
    ['a file that is not executable', () => hook('failed', '', 0o644), /failed is not run: it cannot be executed/],
    ['a directory of that name', () => mkdir(join(directory, 'failed')), /failed is not run: it is no regular file/],
    [
      'a symbolic link',
      () => symlink('/bin/true', join(directory, 'failed')),
      /failed is not run: it is no regular file/,
    ],
    ['a directory that others may write to', () => chmod(directory, 0o777), /is not run: others may write to it/],
  ]
  for (const [what, prepare, message] of refused) {
    it(`refuses ${what}`, async () => {
      await prepare()
      await assert.rejects(HookDirectory.open(directory, systemClock), (error) => {
        assert.ok(isMigratorError(error, 'hook.unsafe'))
        assert.match(error.message, message)
        assert.equal(error.exitCode, 2)
        return true
      })
    })
  }

  it('refuses a file of somebody else', async function () {
    // Only root can give a file away; and then everything of root is trusted.
    if (process.getuid?.() !== 0) this.skip()
    const path = await hook('failed', '')
    await chown(path, 12_345, 12_345)
    await assert.rejects(HookDirectory.open(directory, systemClock), {code: 'hook.unsafe'})
  })

  for (const [what, path] of [
    ['a directory that is not there', '/nowhere/at/all'],
    ['a file', '/etc/hostname'],
  ]) {
    it(`refuses ${what} instead of a directory`, () =>
      assert.rejects(HookDirectory.open(path!, systemClock), {code: 'hook.directory'}))
  }

  describe('of table:migrate', () => {
    async function migrate(...argv: string[]) {
      let world: MigrationWorld | undefined
      let request: unknown
      class Command extends MigrateCommand {
        static override id = 'table:migrate'
        protected override migrate: Migrate = async (asked, given, hooks, options) => {
          request = asked.hooks
          world = given
          return rehearse('succeeds')(
            asked,
            {...given, clock: {...systemClock, setTimer: (_, call) => systemClock.setTimer(0, call)}},
            hooks,
            options,
          )
        }
      }
      return {...(await runCommand(Command, [...WHOLE_ARGV, ...argv])), request, world}
    }

    it('is handed to the migration, with its limits', async () => {
      await hook('finished', '#!/bin/sh\n')
      const {code, request, world} = await migrate('--hook-dir', directory, '--hooks-in-window', '--hook-limit', '5s')
      assert.equal(code, 0)
      assert.deepEqual(request, {inWindow: true, limitMs: 5000})
      assert.equal(world?.operatorHooks?.has('finished'), true)
    })

    it('is looked at before anything is done: exit 2', async () => {
      await hook('before-deny', '', 0o666)
      const {code, error, world} = await migrate('--hook-dir', directory)
      assert.equal(code, 2)
      assert.match(error!.message, /before-deny is not run/)
      assert.equal(world, undefined)
    })

    it('warns of a name that is no moment', async () => {
      await hook('before_deny', '#!/bin/sh\n')
      const {stderr} = await migrate('--hook-dir', directory)
      assert.match(stderr.replaceAll(/\s*›?\s+/g, ' '), /before_deny in .* is never run/)
    })

    it('is needed for --hooks-in-window', async () => {
      assert.equal((await migrate('--hooks-in-window')).code, 2)
    })
  })
})
