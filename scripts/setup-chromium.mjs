// Makes Debian's Chromium available to the test that looks at a report. Installs when run as root and there is none;
// else says that the test is left out, and why: a machine without it is no failure. Only Node's own modules.
import {spawnSync} from 'node:child_process'
import {existsSync} from 'node:fs'
import {fileURLToPath} from 'node:url'

const COMMANDS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const UPDATE_LIMIT_MS = 120_000
const INSTALL_LIMIT_MS = 480_000

export const howToInstall = 'as root: apt-get update && apt-get install -y --no-install-recommends chromium'

/** The command of an installed Chromium; undefined when there is none. */
export function findChromium() {
  return COMMANDS.find((path) => existsSync(path))
}

function run(args, timeoutMs) {
  const result = spawnSync('apt-get', [...args, '-o', 'DPkg::Lock::Timeout=120'], {
    env: {...process.env, DEBIAN_FRONTEND: 'noninteractive'},
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: timeoutMs,
  })
  if (result.status === 0) return
  throw new Error(result.error?.message ?? result.stderr.toString().trim().split('\n').slice(-5).join('\n'))
}

/** @throws Error with what to do when it cannot be installed: not root, no apt-get, no network */
export function setupChromium(say = () => {}) {
  if (findChromium()) return
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) throw new Error(`not installed; ${howToInstall}`)
  say('installing chromium (some 90 MB)')
  run(['update', '-q'], UPDATE_LIMIT_MS)
  run(['install', '-y', '-q', '--no-install-recommends', 'chromium'], INSTALL_LIMIT_MS)
  if (!findChromium()) throw new Error('chromium was installed, but it is not there')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    setupChromium((line) => console.log(line))
    console.log('Chromium is installed')
  } catch (error) {
    console.log(`Chromium is missing, the test that looks at a report in it is left out: ${error.message}`)
  }
}
