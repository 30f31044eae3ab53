// `npm run demo`: from a fresh clone to a migrated table, under load, in some three minutes. This part makes ready what
// the rest needs, with Node's own modules only; test/sandbox/demo.ts does the show.
import {spawn} from 'node:child_process'
import {existsSync} from 'node:fs'
import process from 'node:process'
import {fileURLToPath} from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const TICK_MS = process.stdout.isTTY ? 1000 : 10_000

/** Children that run now; Ctrl-C reaches them by itself, and this process must outlive them. */
const children = new Set()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (signal !== 'SIGINT') for (const child of children) child.kill(signal)
  })
}

/** Starts a command; its output is kept unless it goes to the terminal. */
function start(command, args, stdio = ['ignore', 'pipe', 'pipe']) {
  const startMs = Date.now()
  const child = spawn(command, args, {cwd: ROOT, stdio})
  children.add(child)
  let endMs
  const running = {elapsed: () => `${(((endMs ?? Date.now()) - startMs) / 1000).toFixed(0)} s`, output: ''}
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes) => {
      running.output += bytes
    })
  }

  running.exitCode = new Promise((resolve) => {
    child.once('error', (error) => {
      running.output += error.message
      resolve(1)
    })
    child.once('close', (code, signal) => {
      children.delete(child)
      endMs = Date.now()
      resolve(code ?? (signal === 'SIGINT' ? 130 : 1))
    })
  })
  return running
}

/** Waits for a command behind one line that shows how long it takes; its output is shown only when it fails. */
async function finish(title, running) {
  const show = (text) => process.stdout.write(process.stdout.isTTY ? `\r\u001B[2K${text}` : `${text}\n`)
  show(`${title} ...`)
  const timer = setInterval(() => show(`${title} ... ${running.elapsed()}`), TICK_MS)
  const exitCode = await running.exitCode
  clearInterval(timer)
  show(`${title}: ${exitCode === 0 ? running.elapsed() : 'failed'}`)
  if (process.stdout.isTTY) process.stdout.write('\n')
  if (exitCode === 0) return
  const {output} = running
  // The reason stands at the begin of npm's output, and at the end of a compiler's.
  process.stderr.write(output.length > 4000 ? `${output.slice(0, 2000)}\n...\n${output.slice(-2000)}` : output)
  for (const child of children) child.kill('SIGTERM')
  process.exit(exitCode)
}

const [major, minor] = process.versions.node.split('.').map(Number)
// Earlier ones cannot require() an ES module, and a dependency of thrift does.
if (major < 20 || (major === 20 && minor < 19) || major === 21 || (major === 22 && minor < 12)) {
  console.error(`Node.js 20.19, 22.12 or later is needed, this is ${process.versions.node}`)
  process.exit(1)
}

const zookeeper = start(process.execPath, ['scripts/setup-zookeeper.mjs'])
if (!existsSync(`${ROOT}/node_modules/.package-lock.json`)) {
  await finish('npm ci', start('npm', ['ci', '--no-audit', '--no-fund']))
}

await finish('build', start('npm', ['run', 'build']))
await finish('ZooKeeper', zookeeper)
process.exitCode = await start(process.execPath, ['--import=tsx', 'test/sandbox/demo.ts'], 'inherit').exitCode
