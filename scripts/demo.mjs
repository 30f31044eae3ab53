// `npm run demo`: from a fresh clone to a migrated table, under load, in some three minutes. This part makes ready what
// the rest needs, with Node's own modules only; test/sandbox/demo.ts does the show.
import {spawn} from 'node:child_process'
import {existsSync} from 'node:fs'
import process from 'node:process'
import {fileURLToPath} from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LEAST_NODE = [20, 19]
const TICK_MS = process.stdout.isTTY ? 1000 : 10_000

/** The child that runs now; Ctrl-C reaches it by itself, and this process must outlive it. */
let child
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (signal === 'SIGTERM') child?.kill(signal)
  })
}

function start(command, args, stdio) {
  child = spawn(command, args, {cwd: ROOT, stdio})
  return new Promise((resolve, reject) => {
    const running = child
    running.once('error', reject)
    running.once('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 1)))
  })
}

/** Runs a step behind one line that shows how long it takes; its output comes only when it fails. */
async function step(title, command, args) {
  const startMs = Date.now()
  const elapsed = () => `${((Date.now() - startMs) / 1000).toFixed(0)} s`
  const show = (text) => process.stdout.write(process.stdout.isTTY ? `\r\u001B[2K${text}` : `${text}\n`)
  show(`${title} ...`)
  const timer = setInterval(() => show(`${title} ... ${elapsed()}`), TICK_MS)
  let output = ''
  try {
    const done = start(command, args, ['ignore', 'pipe', 'pipe'])
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        output += bytes
      })
    }

    const code = await done
    if (code === 0) {
      show(`${title}: ${elapsed()}\n`.slice(0, process.stdout.isTTY ? undefined : -1))
      return
    }

    show(`${title}: failed\n`)
    process.stderr.write(output.slice(-4000))
    process.exit(code)
  } finally {
    clearInterval(timer)
  }
}

const version = process.versions.node.split('.').map(Number)
if (version[0] < LEAST_NODE[0] || (version[0] === LEAST_NODE[0] && version[1] < LEAST_NODE[1])) {
  console.error(`Node.js ${LEAST_NODE.join('.')} or later is needed, this is ${process.versions.node}`)
  process.exit(1)
}

if (!existsSync(`${ROOT}/node_modules/.package-lock.json`))
  await step('npm ci', 'npm', ['ci', '--no-audit', '--no-fund'])
await step('build', 'npm', ['run', 'build'])
await step('ZooKeeper', process.execPath, ['scripts/setup-zookeeper.mjs'])
process.exitCode = await start(process.execPath, ['--import=tsx', 'test/sandbox/demo.ts'], 'inherit')
