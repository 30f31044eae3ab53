import assert from 'node:assert/strict'
import {needTerminals, WHOLE_ARGV} from '../support/rehearsed-argv.js'
import {ShellProcess} from '../support/shell-process.js'

const ON_HOLD = {env: {REHEARSAL_HOLD: '1'}}

describe('a held migration on a terminal', () => {
  let shell: ShellProcess | undefined

  before(needTerminals)

  afterEach(() => shell?.destroy())

  it('goes on when c is pressed, and not before', async () => {
    shell = ShellProcess.onTerminal('succeeds', 50, WHOLE_ARGV, ON_HOLD)
    const heldAt = await shell.until(/held/)
    shell.type('x\r')
    shell.type('c')
    await shell.until(/released/, heldAt)
    assert.equal((await shell.ended).code, 0)
    assert.doesNotMatch(shell.stdout.slice(heldAt, shell.stdout.indexOf('released')), /x/, 'keys are not shown')
  })

  it('stops on Ctrl-C, which the terminal does not turn into a signal then', async () => {
    shell = ShellProcess.onTerminal('succeeds', 50, WHOLE_ARGV, ON_HOLD)
    await shell.until(/held/)
    shell.type('\u0003')
    const {code} = await shell.ended
    assert.notEqual(code, 0)
    assert.match(shell.stdout, /SIGINT/)
  })
})

describe('table:migrate --quiet', () => {
  let shell: ShellProcess
  afterEach(() => shell.destroy())

  it('says one line when all went well', async () => {
    shell = ShellProcess.piped('succeeds', 50, [...WHOLE_ARGV, '--quiet'])
    assert.equal((await shell.ended).code, 0)
    assert.equal(shell.stdout, 'users was moved from onebox to onebox2.\n')
  })

  it('says everything about a failure, on stderr', async () => {
    shell = ShellProcess.piped('fails', 50, [...WHOLE_ARGV, '--quiet'])
    assert.equal((await shell.ended).code, 4)
    assert.equal(shell.stdout, '')
    assert.match(shell.stderr, /Stopped: users is served by onebox/)
    assert.match(shell.stderr, /drain\.limit/)
    assert.match(shell.stderr, /Next:/)
  })
})
