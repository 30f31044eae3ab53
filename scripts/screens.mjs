// `npm run screens`: real migrations between two simulated clusters with fast timers, in real terminals (tmux), looked
// at in the moments that matter. Writes docs/screens/: text as it stood on the screen, the index, and a recording.
// `npm run screens -- 80x24 recording`: only these. Needs tmux, util-linux and what the sandbox needs; some ten minutes.
import {execFileSync, spawn, spawnSync} from 'node:child_process'
import {mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {setTimeout as pause} from 'node:timers/promises'
import {fileURLToPath} from 'node:url'
import {recordMigration} from './recording.mjs'
import {still, Terminal} from './terminal.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const target = join(root, 'docs', 'screens')
const scratch = mkdtempSync(join(tmpdir(), 'table-migrator-screens-'))
const SOCKET = `screens-${process.pid}`
const LOOK_EVERY_MS = 250
const SCENE_LIMIT_MS = 240_000
const SETTLE_MS = 1200

const quote = (word) => (/^[\w%+,./:=@-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`)
const tmux = (...args) => execFileSync('tmux', ['-L', SOCKET, '-f', '/dev/null', ...args], {encoding: 'utf8'})

/** Two clusters, ZooKeeper and a metaproxy; gives the flags that move their table. */
async function startSandbox() {
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/sandbox/main.ts', '--fast-servers'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const flags = await new Promise((resolve, reject) => {
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      said += text
      const line = /^pegasus table:migrate (.+)\n/m.exec(said)
      if (line) resolve(line[1].split(' '))
    })
    child.once('close', () => reject(new Error(`the sandbox ended:\n${said}`)))
  })
  const ended = new Promise((resolve) => {
    child.once('close', resolve)
  })
  return {
    flag: (name) => flags[flags.indexOf(`--${name}`) + 1],
    flags,
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

/** A command in a terminal of its own. */
class Pane {
  constructor(name, {columns, env = {}, rows}, args) {
    this.name = name
    const settings = {
      FORCE_COLOR: undefined,
      PEGASUS_DATA_DIR: join(scratch, 'data', name),
      TERM: 'xterm-256color',
      ...env,
    }
    const set = Object.entries(settings).map(([key, value]) =>
      value === undefined ? `-u ${key}` : `${key}=${quote(value)}`,
    )
    const command = typeof args === 'string' ? args : `node bin/run.js ${args.map((word) => quote(word)).join(' ')}`
    // Ctrl-C is the command's affair: this shell must outlive it, to say how it ended.
    const line = `trap : INT; cd ${quote(root)}; env -u CI -u NO_COLOR ${set.join(' ')} sh -c ${quote(command)}; echo "[exit code $?]"; sleep 3600`
    tmux('new-session', '-d', '-s', name, '-x', String(columns), '-y', String(rows), line)
    tmux('set-option', '-t', name, 'status', 'off')
  }

  /** What is on the screen; `history`: with what has scrolled out; `colours`: with escape sequences. */
  look({colours = false, history = false} = {}) {
    const args = [
      'capture-pane',
      '-p',
      '-t',
      this.name,
      ...(colours ? ['-e'] : []),
      ...(history ? ['-S', '-2000'] : []),
    ]
    return tmux(...args)
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n')
      .trimEnd()
  }

  type(...keys) {
    tmux('send-keys', '-t', this.name, ...keys)
  }

  /** @returns the screen once `pattern` is on it, or undefined once the command has ended without it */
  async until(pattern, settleMs = 0) {
    for (const limitMs = Date.now() + SCENE_LIMIT_MS; Date.now() < limitMs;) {
      const screen = this.look()
      if (pattern.test(screen)) {
        if (settleMs === 0) return screen
        await pause(settleMs)
        const settled = this.look()
        return pattern.test(settled) ? settled : screen
      }

      if (/\[exit code \d+\]/.test(screen)) return undefined
      await pause(LOOK_EVERY_MS)
    }

    throw new Error(`${this.name}: ${pattern} never came:\n${this.look()}`)
  }

  /** Does nothing when it has ended by itself. */
  close() {
    spawnSync('tmux', ['-L', SOCKET, 'kill-session', '-t', this.name])
  }
}

function keep(scene, moment, text) {
  writeFileSync(join(target, `${scene}-${moment}.txt`), `${text.replaceAll(scratch, '/tmp').replaceAll(root, '')}\n`)
  console.log(`${scene}-${moment}.txt`)
}

/** As pictures too, on a light and on a dark terminal. */
function picture(scene, moment, pane, columns) {
  const lines = pane.look({colours: true}).split('\n')
  const terminal = new Terminal(columns, lines.length)
  terminal.write(lines.join('\r\n').replaceAll(scratch, '/tmp').replaceAll(root, ''))
  for (const theme of ['light', 'dark']) {
    const file = `${scene}-${moment}-${theme}.svg`
    writeFileSync(join(target, file), still(terminal.runs(), columns, theme, `${scene}, ${moment}`))
    console.log(file)
  }
}

const running = (title) => new RegExp(`^[^✔✖◼\\s›] ${title} .*\\n`, 'm')
const moments = [
  ['2-duplicate', /DS_APP/],
  ['3-catch-up', running('Catch up')],
  ['4-verify', running('Verify')],
  ['5-denied', /WRITES DENIED/],
  ['6-switch', running('Switch')],
  ['7-finish', running('Finish')],
]

/** A whole migration at one size, looked at in each phase. */
const migration =
  (columns, rows, options = {}) =>
  async (name) => {
    const sandbox = await startSandbox()
    const pane = new Pane(name, {columns, rows, ...options}, [
      'table:migrate',
      ...sandbox.flags,
      '--deny-mode',
      'reconfig',
    ])
    try {
      await pane.until(/Type users to move/)
      keep(name, '1-plan', pane.look())
      if (options.colours) {
        keep(name, '1-plan-colours', pane.look({colours: true}))
        picture(name, '1-plan', pane, columns)
      }

      pane.type('users', 'Enter')
      for (const [moment, pattern] of moments) {
        const screen = await pane.until(pattern, moment === '5-denied' ? SETTLE_MS : 300)
        // A phase may be over before anybody looks.
        if (screen === undefined) continue
        keep(name, moment, screen)
        if (options.colours && moment === '5-denied') {
          keep(name, `${moment}-colours`, pane.look({colours: true}))
          picture(name, moment, pane, columns)
        }
      }

      await pane.until(/\[exit code \d+\]/)
      keep(name, '8-end', pane.look())
      if (options.colours) picture(name, '8-end', pane, columns)
      if (options.all) keep(name, '9-everything', pane.look({history: true}))
    } finally {
      pane.close()
      await sandbox.stop()
    }
  }

/** Ctrl-C while writes are denied; then what the other commands say of the table, and how it is taken back. */
async function interrupted(name) {
  const sandbox = await startSandbox()
  const size = {columns: 80, env: {PEGASUS_DATA_DIR: join(scratch, 'data', name)}, rows: 24}
  const where = ['-t', 'users', '--source-meta', sandbox.flag('source-meta')]
  const to = ['-c', sandbox.flag('cluster'), '-m', sandbox.flag('meta')]
  const path = ['-r', sandbox.flag('root'), '-n', sandbox.flag('node')]
  const show = async (moment, args) => {
    const pane = new Pane(`${name}-${moment}`, size, args)
    await pane.until(/\[exit code \d+\]/)
    keep(name, moment, pane.look({history: true}))
    if (moment === '3-status') picture(name, moment, pane, size.columns)
    pane.close()
  }

  const pane = new Pane(name, size, ['table:migrate', ...sandbox.flags, '--yes'])
  try {
    await pane.until(/WRITES DENIED/, SETTLE_MS)
    pane.type('C-c')
    keep(name, '1-taken-back', (await pane.until(/Take back/, 400)) ?? pane.look())
    picture(name, '1-taken-back', pane, size.columns)
    await pane.until(/\[exit code \d+\]/)
    keep(name, '2-end', pane.look({history: true}))
    await show('3-status', ['table:migrate-status', ...where, ...to, ...path])
    await show('4-verify', ['table:migrate-verify', ...where, ...to])
    const back = new Pane(`${name}-back`, size, [
      'table:migrate-rollback',
      ...where,
      ...to,
      ...path,
      '--yes',
      '--brief-deny',
    ])
    const denied = await back.until(/WRITES DENIED/, SETTLE_MS)
    if (denied !== undefined) {
      keep(name, '5-rollback-denied', denied)
      picture(name, '5-rollback-denied', back, size.columns)
    }

    await back.until(/\[exit code \d+\]/)
    keep(name, '6-rollback', back.look({history: true}))
    back.close()
  } finally {
    pane.close()
    await sandbox.stop()
  }
}

/** A migration that waits for a person: what its list and status say, and how it is released. */
async function held(name) {
  const sandbox = await startSandbox()
  const size = {columns: 80, env: {PEGASUS_DATA_DIR: join(scratch, 'data', name)}, rows: 24}
  const pane = new Pane(name, size, ['table:migrate', ...sandbox.flags, '--yes', '--hold'])
  const show = async (moment, args) => {
    const other = new Pane(`${name}-${moment}`, size, args)
    await other.until(/\[exit code \d+\]/)
    keep(name, moment, other.look({history: true}))
    other.close()
  }

  try {
    keep(name, '1-list', await pane.until(/held, writes are allowed/, SETTLE_MS))
    await show('2-status', ['table:migrate-status', '-t', 'users', '--source-meta', sandbox.flag('source-meta')])
    await show('3-release', ['table:migrate-release', '-t', 'users'])
    await pane.until(/\[exit code \d+\]/)
    keep(name, '4-end', pane.look())
  } finally {
    pane.close()
    await sandbox.stop()
  }
}

/** Where no list can be drawn, and what is refused: each in a few seconds, on one pair of clusters. */
async function elsewhere(name) {
  const sandbox = await startSandbox()
  const size = {columns: 80, rows: 24}
  const flags = sandbox.flags.map((word) => quote(word)).join(' ')
  const dry = ['table:migrate', ...sandbox.flags, '--dry-run']
  const without = (flag, ...others) => {
    const at = sandbox.flags.indexOf(`--${flag}`)
    return ['table:migrate', ...sandbox.flags.toSpliced(at, 2), ...others, '--yes']
  }

  const scenes = {
    'bound-too-short': [size, ['table:migrate', ...sandbox.flags, '--max-write-deny', '5s', '--yes']],
    ci: [{...size, env: {CI: '1'}}, dry],
    'dry-run': [size, dry],
    dumb: [{...size, env: {TERM: 'dumb'}}, dry],
    help: [{columns: 80, rows: 60}, ['table:migrate', '--help']],
    'no-color': [{...size, env: {NO_COLOR: '1'}}, dry],
    'no-metas': [size, without('source-meta', '--source-meta', '127.0.0.1:1')],
    'no-report': [size, ['table:migrate', ...sandbox.flags, '--report', '/nowhere/report.html', '--yes']],
    'no-such-table': [size, without('table', '--table', 'nobody')],
    'other-cluster': [size, without('cluster', '--cluster', 'elsewhere')],
    'stdin-closed': [size, `node bin/run.js table:migrate ${flags} <&-`],
    'zero-columns': [size, `stty cols 0; node bin/run.js table:migrate ${flags} --dry-run; stty cols 80`],
  }
  try {
    for (const [moment, [terminal, args]] of Object.entries(scenes)) {
      const pane = new Pane(`${name}-${moment}`, terminal, args)
      await pane.until(/\[exit code \d+\]/)
      keep(name, moment, pane.look({history: true}))
      pane.close()
    }
  } finally {
    await sandbox.stop()
  }
}

/** Into a pipe: lines, one an event. The report of this run is kept too. */
async function piped(name) {
  const sandbox = await startSandbox()
  const report = join(target, 'report.html')
  const flags = sandbox.flags.map((word) => quote(word)).join(' ')
  const pane = new Pane(
    name,
    {columns: 250, rows: 50},
    `node bin/run.js table:migrate ${flags} --deny-mode reconfig --yes --report ${quote(report)} | cat`,
  )
  try {
    await pane.until(/\[exit code \d+\]/)
    keep(name, 'lines', pane.look({history: true}))
    writeFileSync(report, readFileSync(report, 'utf8').replaceAll(report, 'report.html'))
  } finally {
    pane.close()
    await sandbox.stop()
  }
}

async function recording() {
  const sandbox = await startSandbox()
  try {
    await recordMigration({dataDirectory: join(scratch, 'data', 'recording'), flags: sandbox.flags, root, target})
  } finally {
    await sandbox.stop()
  }
}

const scenes = {
  '120x40': migration(120, 40),
  '200x60': migration(200, 60),
  '40x24': migration(40, 24),
  '80x24': migration(80, 24, {all: true, colours: true}),
  elsewhere,
  held,
  interrupted,
  'no-color': migration(80, 24, {env: {NO_COLOR: '1'}}),
  piped,
  recording,
}

/** What is there, in its order, with the first words of each. */
function writeIndex() {
  const files = readdirSync(target)
    .filter((file) => file.endsWith('.txt') || /-(dark|light)\.svg$/.test(file))
    .sort()
  const groups = Object.keys(scenes).filter((scene) => files.some((file) => file.startsWith(`${scene}-`)))
  const list = (scene) =>
    files
      .filter((file) => file.startsWith(`${scene}-`))
      .map((file) => `[${file.slice(scene.length + 1, -4)}](${file})`)
      .join(', ')
  const lines = [
    '# Screens',
    '',
    'What `table:migrate` shows, taken from real runs between simulated clusters (`npm run sandbox -- --fast-servers`) in real',
    'terminals. `npm run screens` takes them again. `-colours`: with escape sequences (`cat` them); `-light` and `-dark`: pictures with',
    "xterm's colours, the hardest to read on white.",
    '',
    '| where | moments |',
    '|---|---|',
    ...groups.map((scene) => `| ${scene} | ${list(scene)} |`),
    '',
    '[migration.cast](migration.cast) plays in asciinema; [migration.svg](migration.svg) is the same in steps. [report.html](report.html) is what `--report` wrote of the piped run.',
    '',
  ]
  writeFileSync(join(target, 'README.md'), lines.join('\n'))
}

const wanted = process.argv.slice(2)
mkdirSync(target, {recursive: true})
// Without it the server would end with each scene, and sometimes while the next begins.
tmux('new-session', '-d', '-s', 'host', 'sleep 86400')
try {
  for (const [name, scene] of Object.entries(scenes)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    console.log(`=== ${name}`)
    await scene(name)
  }

  writeIndex()
} finally {
  // No scene may have needed it, and it ends with its last session.
  spawnSync('tmux', ['-L', SOCKET, 'kill-server'])

  rmSync(scratch, {force: true, recursive: true})
}
