import assert from 'node:assert/strict'
import {mkdtempSync, readFileSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {METAPROXY_ARGV, needTerminals, TABLE_ARGV} from '../support/rehearsed-argv.js'
import {Screen} from '../support/screen.js'
import {ShellProcess} from '../support/shell-process.js'

const CTRL_C = '\u0003'

/** What a person reads: without cursor movements and colours. */
// eslint-disable-next-line no-control-regex
const read = (text: string) => text.replaceAll(/\u001B\[[\d;?]*[A-Za-z]/g, '').replaceAll('\r', '')

/** What is left to be read at the end, with everything that has scrolled out. */
function left(text: string): string {
  const screen = new Screen(80, 500)
  screen.write(text)
  return screen.text
}

describe('table:migrate on a terminal', () => {
  let shell: ShellProcess | undefined

  before(needTerminals)

  afterEach(() => shell?.destroy())

  it('asks for the name of the table, shows the phases as a list, and leaves the cursor visible', async () => {
    shell = ShellProcess.onTerminal('succeeds', 20, [...TABLE_ARGV, ...METAPROXY_ARGV])
    await shell.until(/Type users to move it from onebox to onebox2:/)
    shell.type('users\r')
    assert.equal((await shell.ended).code, 0)
    const text = read(shell.stdout)
    assert.match(text, /WARNING {2}group-check: the last write ships quickly/)
    assert.match(text, /It will do this, in this order:\n 1\. {2}add a duplication/)
    assert.match(text, /WRITES DENIED for \d+ s, \d+ s left {2}█*░+/)
    assert.match(text, /5\/8 partitions {2}█+░+/)
    assert.match(text, /lag [\d,]+ mutations {2}[▁-█]+/)
    assert.match(text, /about \d+ s to go/)
    assert.match(text, /worst: partition 7 on/)
    assert.match(text, /Ctrl-C: stops; writes stay allowed, the copy is kept/)
    assert.match(text, /Ctrl-C: allows writes again within \d+ s, keeps the copy/)
    assert.match(left(shell.stdout), /✔ Finish {7}[\d.]+ s {2}8 partitions\n\nusers was moved from onebox to onebox2\./)
    assert.ok(shell.stdout.lastIndexOf('\u001B[?25h') > shell.stdout.lastIndexOf('\u001B[?25l'), 'the cursor is hidden')
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(shell.stdout, /\u001B\[3\dm/, 'NO_COLOR was set')
  })

  it('stops when anything else is typed', async () => {
    shell = ShellProcess.onTerminal('succeeds', 20, [...TABLE_ARGV, ...METAPROXY_ARGV])
    await shell.until(/Type users to move it/)
    shell.type('yes\r')
    assert.equal((await shell.ended).code, 3)
    assert.match(read(shell.stdout), /Refused: users was not moved, and nothing was changed\./)
  })

  it('counts Ctrl-C at a question as an interruption', async () => {
    shell = ShellProcess.onTerminal('succeeds', 20, [...TABLE_ARGV, ...METAPROXY_ARGV])
    await shell.until(/Type users to move it/)
    shell.type(CTRL_C)
    assert.equal((await shell.ended).code, 130)
    assert.match(read(shell.stdout), /nothing was changed/)
  })

  it('lets a finding be accepted by typing its name, and begins anew', async () => {
    shell = ShellProcess.onTerminal('confirm', 50, [...TABLE_ARGV, ...METAPROXY_ARGV])
    const asked = await shell.until(/Type direct-clients to go on in spite of it:/)
    shell.type('direct-clients\r')
    await shell.until(/Type users to move it/, asked)
    shell.type('users\r')
    assert.equal((await shell.ended).code, 0)
    assert.equal(read(shell.stdout).match(/CONFIRM {2}direct-clients/g)?.length, 1)
  })

  it('asks without a metaproxy whether the applications are to move, and goes on', async () => {
    shell = ShellProcess.onTerminal('succeeds', 50, [...TABLE_ARGV, '--yes'])
    const asked = await shell.until(/moved or abort:/)
    assert.match(read(shell.stdout), /Do not move the applications yet\./)
    shell.type('yes\r')
    await shell.until(/Type moved or abort\./, asked)
    shell.type('moved\r')
    assert.equal((await shell.ended).code, 0)
    assert.match(read(shell.stdout), /users was moved from onebox to onebox2\./)
  })

  it('takes everything back on Ctrl-C while writes are denied, and shows that', async () => {
    shell = ShellProcess.onTerminal('succeeds', 10, [...TABLE_ARGV, ...METAPROXY_ARGV, '--yes'])
    await shell.until(/WRITES DENIED/)
    shell.type(CTRL_C)
    assert.equal((await shell.ended).code, 130)
    const text = left(shell.stdout)
    assert.match(text, /✖ (Deny writes|Drain) {2,}stopped by SIGINT/)
    assert.match(text, /✔ Take back {4}every primary accepts writes again/)
    assert.match(text, /Stopped: users is served by onebox, and its writes are allowed there\./)
  })

  it('shows a cutover that is taken back and tried again', async () => {
    shell = ShellProcess.onTerminal('again', 20, [...TABLE_ARGV, ...METAPROXY_ARGV, '--yes'])
    assert.equal((await shell.ended).code, 0)
    const text = left(shell.stdout)
    const takenBack = text.lastIndexOf('✔ Take back    every primary accepts writes again')
    assert.ok(takenBack > text.lastIndexOf('✖ Drain        partition 3 was too slow'))
    assert.match(
      text.slice(takenBack),
      /(✔ Catch up.*\n✔ Deny writes.*\n✔ Drain.*\n✔ Switch.*\n✔ Finish.*\n)\nusers was moved/,
    )
    assert.equal(text.match(/Writes were denied for/g)?.length, 2)
  })

  it('shows a run that only finishes what is left', async () => {
    shell = ShellProcess.onTerminal('committed', 20, [...TABLE_ARGV, ...METAPROXY_ARGV, '--yes'])
    await shell.until(/Switch/)
    assert.equal((await shell.ended).code, 0)
    assert.deepEqual(left(shell.stdout).match(/^✔ \w+/gm), ['✔ Preflight', '✔ Switch', '✔ Finish'])
  })

  for (const [columns, rows] of [
    [80, 24],
    [40, 24],
    [40, 12],
    [200, 60],
  ] as const)
    it(`neither flickers, wraps nor scrolls on ${columns} by ${rows}`, async () => {
      shell = ShellProcess.onTerminal('again', 20, [...TABLE_ARGV, ...METAPROXY_ARGV, '--yes'], {columns, rows})
      assert.equal((await shell.ended).code, 0)
      // What stands above the list and below it is ordinary text; each list is drawn between hiding and showing the cursor.
      // eslint-disable-next-line no-control-regex
      const lists = [...shell.stdout.matchAll(/\u001B\[\?25l(.*?)\u001B\[\?25h/gs)].map(([, list]) => list!)
      assert.ok(lists.length >= 4, `${lists.length} lists`)
      for (const list of lists) {
        const screen = new Screen(columns, rows)
        // The last frame is drawn in full, and on a low screen it may scroll.
        const frames = list.split('\u001B[?2026h').slice(0, rows < 24 ? -2 : undefined)
        for (const frame of frames) screen.write(frame)
        assert.deepEqual([screen.erased, screen.scrolled, screen.wrapped], [0, 0, 0], screen.text)
      }
    })

  it('goes on to take everything back when the terminal is closed', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'table-migrator-hangup-'))
    try {
      const report = join(scratch, 'report')
      shell = ShellProcess.onTerminal('succeeds', 10, [...TABLE_ARGV, ...METAPROXY_ARGV, '--yes'], {
        env: {REHEARSAL_REPORT: report},
      })
      await shell.until(/WRITES DENIED/)
      shell.child.kill('SIGKILL')
      await shell.ended
      const lines = await untilReported(report)
      assert.match(lines, /undo-finished true\nexit 129\n$/)
    } finally {
      rmSync(scratch, {force: true, recursive: true})
    }
  })

  it('does not draw on terminals that cannot move their cursor', async () => {
    const terminals: {columns?: number; env?: Record<string, string>}[] = [
      {env: {TERM: 'dumb'}},
      {columns: 0},
      {env: {CI: '1'}},
    ]
    for (const options of terminals) {
      shell = ShellProcess.onTerminal('succeeds', 500, [...TABLE_ARGV, ...METAPROXY_ARGV, '--yes'], options)
      assert.equal((await shell.ended).code, 0)
      assert.ok(!shell.stdout.includes('\u001B'), JSON.stringify(options))
      assert.match(shell.stdout, /phase=deny table=users event=finished/)
    }
  })
})

/** The process outlives its terminal, and nobody is left to wait for it: it says in a file that it ended. */
async function untilReported(path: string): Promise<string> {
  for (const limitMs = Date.now() + 15_000; Date.now() < limitMs;) {
    try {
      const text = readFileSync(path, 'utf8')
      if (/^exit/m.test(text)) return text
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }

    await new Promise((resolve) => {
      setTimeout(resolve, 50)
    })
  }

  throw new Error('the process did not end')
}
