import assert from 'node:assert/strict'
import {mkdtempSync, readFileSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {WHOLE_ARGV} from '../support/rehearsed-argv.js'
import {ShellProcess} from '../support/shell-process.js'

describe('table:migrate as a process of its own', () => {
  let shell: ShellProcess
  afterEach(() => shell.destroy())

  const signals = [
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const
  for (const [signal, exitCode] of signals) {
    it(`takes the deny back on ${signal} and exits ${exitCode}`, async () => {
      shell = ShellProcess.piped('succeeds', 20, WHOLE_ARGV)
      await shell.until(/phase=deny .* effect=deny state=done/)
      shell.child.kill(signal)
      assert.equal((await shell.ended).code, exitCode)
      assert.match(shell.stdout, new RegExp(`event=notice text="${signal}: stopping`))
      assert.match(shell.stdout, /event=undo-started/)
      assert.match(shell.stdout, /event=undo-finished ok=true/)
      assert.match(shell.stderr, /Stopped: users is served by onebox, and its writes are allowed there\./)
      assert.match(shell.stderr, /\n {2}pegasus table:migrate -t users .* --yes\n/)
    })
  }

  it('leaves at once on the second signal, and says what may be so and what to run', async () => {
    shell = ShellProcess.piped('deaf', 50, WHOLE_ARGV)
    await shell.until(/phase=drain .* partitions=8\/8/)
    shell.child.kill('SIGTERM')
    await shell.until(/event=notice text="SIGTERM: stopping/)
    shell.child.kill('SIGINT')
    assert.equal((await shell.ended).code, 130)
    assert.match(
      shell.stderr,
      /SIGINT again: leaving at once\. Writes to users may be denied, since \d\d:\d\d:\d\d UTC\./,
    )
    assert.match(shell.stderr, /\n {2}pegasus table:migrate -t users -c onebox2 -m c:3 .*\n$/)
  })

  it('writes its report also then, and says so', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'table-migrator-left-'))
    try {
      const path = join(directory, 'run.json')
      shell = ShellProcess.piped('deaf', 50, [...WHOLE_ARGV, '--report', path])
      await shell.until(/phase=drain .* partitions=8\/8/)
      shell.child.kill('SIGINT')
      await shell.until(/event=notice text="SIGINT: stopping/)
      shell.child.kill('SIGINT')
      assert.equal((await shell.ended).code, 130)
      assert.ok(shell.stderr.endsWith(`\nReport: ${path}\n`), shell.stderr)
      const {exitCode, failure, spans} = JSON.parse(readFileSync(path, 'utf8'))
      assert.equal(exitCode, 130)
      assert.match(
        failure.message,
        /^a second SIGINT \(Ctrl-C\) ended it at once\. Writes to users may be denied, since/,
      )
      assert.match(failure.next, /^pegasus table:migrate -t users/)
      assert.deepEqual(spans.map(({phase}: {phase: string}) => phase).slice(0, 5), [
        'preflight',
        'duplicate',
        'catch-up',
        'verify',
        'deny',
      ])
    } finally {
      rmSync(directory, {force: true, recursive: true})
    }
  })

  it('keeps stdout to one document in JSON mode', async () => {
    shell = ShellProcess.piped('fails', 200, [...WHOLE_ARGV, '--json'])
    assert.equal((await shell.ended).code, 4)
    assert.equal(JSON.parse(shell.stdout).outcome, 'stopped')
    assert.equal(shell.stderr, '')
  })

  it('goes on when the pipe behind it is closed', async () => {
    shell = ShellProcess.piped('fails', 100, WHOLE_ARGV)
    await shell.until(/phase=duplicate/)
    shell.child.stdout!.destroy()
    assert.equal((await shell.ended).code, 4)
    assert.match(shell.stderr, /Stopped: users is served by onebox/)
  })
})
