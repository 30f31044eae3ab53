// Records one migration in a terminal of 80 by 24: as an asciinema file, and as a picture in steps for the README.
import {spawn} from 'node:child_process'
import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {setTimeout as pause} from 'node:timers/promises'
import {animation, Terminal} from './terminal.mjs'

const [COLUMNS, ROWS] = [80, 24]
const LIMIT_MS = 240_000
/** A player need not wait as long as the servers did. */
const LONGEST_PAUSE_S = 1.5
const PROMPT = '\u001B[32m$\u001B[0m '

const quote = (word) => (/^[\w%+,./:=@-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`)

/** What is kept of a run for the picture: the screen when each of these is first on it, and for how long it is shown. */
const steps = [
  [/Type users to move/, 5],
  [/Duplicate .*\n.*DS_PREPARE/, 2],
  [/Duplicate .*\n.*DS_APP/, 2],
  [/✔ Duplicate[^✔]*\n\S Catch up/, 2],
  [/✔ Catch up[^✔]*\n\S Verify/, 2],
  [/WRITES DENIED for [12] s/, 2],
  [/WRITES DENIED for [34] s/, 2],
  [/✔ Drain/, 1.5],
  [/✔ Switch/, 3],
]

/** Colours are left out as soon as one of these is there, even empty. */
function colourful(more) {
  const inherited = Object.entries(process.env).filter(([name]) => name !== 'CI' && name !== 'NO_COLOR')
  return {...Object.fromEntries(inherited), ...more}
}

/** Runs it, types what is asked, and keeps everything with its time. */
async function run({dataDirectory, flags, root}) {
  const line = `stty cols ${COLUMNS} rows ${ROWS}; exec node bin/run.js table:migrate ${flags.map((word) => quote(word)).join(' ')} --deny-mode reconfig`
  const child = spawn('script', ['--quiet', '--return', '--flush', '--command', line, '/dev/null'], {
    cwd: root,
    env: colourful({PEGASUS_DATA_DIR: dataDirectory, TERM: 'xterm-256color'}),
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const events = []
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    events.push({atMs: Date.now(), text})
    said += text
  })
  const ended = new Promise((resolve) => {
    child.once('close', resolve)
  })
  for (const limitMs = Date.now() + LIMIT_MS; !said.includes('Type users to move'); await pause(100))
    if (Date.now() > limitMs) throw new Error(`nothing was asked:\n${said}`)
  await pause(3000)
  for (const key of 'users\r') {
    child.stdin.write(key)
    await pause(150)
  }

  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
  const code = await ended
  clearTimeout(limit)
  if (code !== 0) throw new Error(`the recorded migration ended with ${code}:\n${said}`)
  return events
}

/** The command as somebody would have typed it; the terminal breaks it as it must. */
function typed(flags) {
  const command = `pegasus table:migrate ${flags.join(' ')} --deny-mode reconfig`
  return [
    {atMs: 0, text: PROMPT},
    ...[...command].map((text, index) => ({atMs: 500 + index * 12, text})),
    {atMs: 3200, text: '\r\n'},
  ]
}

/** https://docs.asciinema.org/manual/asciicast/v2/ */
function castOf(events) {
  let [lastMs, atS] = [events[0].atMs, 0]
  const lines = events.map(({atMs, text}) => {
    atS += Math.min(LONGEST_PAUSE_S, (atMs - lastMs) / 1000)
    lastMs = atMs
    return JSON.stringify([Number(atS.toFixed(3)), 'o', text])
  })
  const header = {
    env: {TERM: 'xterm-256color'},
    height: ROWS,
    title: 'pegasus table:migrate',
    version: 2,
    width: COLUMNS,
  }
  return `${[JSON.stringify(header), ...lines].join('\n')}\n`
}

function framesOf(events) {
  const terminal = new Terminal(COLUMNS, ROWS)
  const frames = []
  const left = [...steps]
  for (const {text} of events) {
    terminal.write(text)
    const screen = terminal.text()
    const found = left.findIndex(([pattern]) => pattern.test(screen))
    if (found === -1) continue
    frames.push({rows: terminal.runs(), seconds: left[found][1]})
    // What was passed over was too short to be seen.
    left.splice(0, found + 1)
  }

  return [...frames, {rows: terminal.runs(), seconds: 6}]
}

export async function recordMigration({dataDirectory, flags, root, target}) {
  const start = typed(flags)
  const events = await run({dataDirectory, flags, root})
  const shift = events[0].atMs - start.at(-1).atMs - 300
  const all = [...start, ...events.map(({atMs, text}) => ({atMs: atMs - shift, text}))]
  writeFileSync(join(target, 'migration.cast'), castOf(all))
  const label = 'A table is moved: the plan, the phases with their live figures, the outcome'
  writeFileSync(join(target, 'migration.svg'), animation(framesOf(all), COLUMNS, ROWS, label))
  console.log('migration.cast, migration.svg')
}
