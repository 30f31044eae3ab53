// Makes Debian's ZooKeeper available to the integration tests, the sandbox and the demo. Installs when run as root,
// says how otherwise; does nothing when it is there. Only Node's own modules: it runs on a fresh clone.
import {spawnSync} from 'node:child_process'
import {existsSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'

const JAR_DIRECTORY = '/usr/share/java'
const NEEDED_JARS = [
  'zookeeper',
  'zookeeper-jute',
  'slf4j-api',
  'slf4j-nop',
  'commons-cli',
  'metrics-core',
  'snappy-java',
]
// The jars are in libzookeeper-java. The package `zookeeper` adds only scripts, and pulls a Java with X11.
const PACKAGES = ['libzookeeper-java', 'default-jre-headless']
const UPDATE_LIMIT_MS = 120_000
const INSTALL_LIMIT_MS = 480_000

export const howToInstall = `as root: apt-get update && apt-get install -y --no-install-recommends ${PACKAGES.join(' ')}`

/** The Java command and the class path of an installed ZooKeeper; undefined when something is missing. */
export function findZooKeeper() {
  const jars = NEEDED_JARS.map((name) => join(JAR_DIRECTORY, `${name}.jar`))
  if (!jars.every((jar) => existsSync(jar))) return undefined
  const netty = readdirSync(JAR_DIRECTORY).filter((name) => /^netty[\w-]*\.jar$/.test(name))
  if (netty.length === 0) return undefined
  const java = ['/usr/bin/java', ...(process.env.JAVA_HOME ? [join(process.env.JAVA_HOME, 'bin', 'java')] : [])]
  const command = java.find((path) => existsSync(path))
  if (command === undefined) return undefined
  return {classPath: [...jars, ...netty.map((name) => join(JAR_DIRECTORY, name))].join(':'), command}
}

function run(command, args, timeoutMs) {
  const result = spawnSync(command, args, {
    env: {...process.env, DEBIAN_FRONTEND: 'noninteractive'},
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: timeoutMs,
  })
  if (result.status === 0) return
  const reason = result.error?.message ?? result.stderr.toString().trim().split('\n').slice(-5).join('\n')
  throw new Error(`${command} ${args[0]} failed: ${reason}`)
}

/**
 * Installs it unless it is there. `say` gets a line per step.
 * @throws Error with what to do when it cannot be installed: not root, no apt-get, no network
 */
export function setupZooKeeper(say = () => {}) {
  if (findZooKeeper()) return
  if (process.getuid?.() !== 0) throw new Error(`ZooKeeper is not installed; ${howToInstall}`)
  if (!existsSync('/usr/bin/apt-get'))
    throw new Error('ZooKeeper is not installed, and there is no apt-get to install it with')
  say(`installing ${PACKAGES.join(', ')} (some 33 MB without Java)`)
  const waitForLock = ['-o', 'DPkg::Lock::Timeout=120']
  run('apt-get', ['update', '-q', ...waitForLock], UPDATE_LIMIT_MS)
  run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...waitForLock, ...PACKAGES], INSTALL_LIMIT_MS)
  if (!findZooKeeper()) throw new Error(`${PACKAGES[0]} was installed, but its jars are not under ${JAR_DIRECTORY}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    setupZooKeeper((line) => console.log(line))
    console.log('ZooKeeper is installed')
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
