import {readdir, readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {root, run} from './host.js'

export const NAME = '@org/table-migrator'

async function pack(cwd: string, directory: string, ...args: string[]): Promise<string> {
  const before = new Set(await readdir(directory))
  const {exitCode, stderr} = await run('npm', ['pack', ...args, '--pack-destination', directory], {cwd})
  if (exitCode !== 0) throw new Error(`npm pack failed: ${stderr}`)
  const made = (await readdir(directory)).find((name) => name.endsWith('.tgz') && !before.has(name))
  if (!made) throw new Error('npm pack made nothing')
  return join(directory, made)
}

/** The plugin as it lies in dist/, packed: `npm test` has built it. @returns the tarball */
export function packPlugin(directory: string): Promise<string> {
  return pack(root, directory, '--ignore-scripts')
}

/** The same plugin with another version. @returns the tarball */
export async function repack(tarball: string, version: string, directory: string): Promise<string> {
  const {exitCode, stderr} = await run('tar', ['-xzf', tarball, '-C', directory], {cwd: directory})
  if (exitCode !== 0) throw new Error(`tar failed: ${stderr}`)
  const unpacked = join(directory, 'package')
  for (const file of ['oclif.manifest.json', 'package.json']) {
    const content = JSON.parse(await readFile(join(unpacked, file), 'utf8')) as {version: string}
    await writeFile(join(unpacked, file), JSON.stringify({...content, version}))
  }

  return pack(unpacked, directory, '--ignore-scripts')
}

/** The version that is packed, and the one after it. */
export async function twoVersions(): Promise<[string, string]> {
  const {version} = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {version: string}
  const [major, minor, patch] = version.split(/[.-]/)
  return [version, `${major}.${minor}.${Number(patch) + 1}`]
}
