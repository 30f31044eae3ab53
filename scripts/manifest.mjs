// Makes oclif.manifest.json of the plugin in the current directory, from its dist/.
import {spawnSync} from 'node:child_process'
import {readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import {fileURLToPath, pathToFileURL} from 'node:url'

const OCLIF = fileURLToPath(new URL('../node_modules/.bin/oclif', import.meta.url))

/**
 * oclif marks every flag whose default is shown in another form (120s, not 120000) as one whose help must be made anew each
 * time, and loads the whole command for that: 0.3 s. Our defaults never change, and the manifest has them as they are shown.
 */
function fixHelp(manifest) {
  for (const command of Object.values(manifest.commands)) {
    command.hasDynamicHelp = false
    for (const flag of Object.values(command.flags)) if ('hasDynamicHelp' in flag) flag.hasDynamicHelp = false
  }

  return manifest
}

export function makeManifest(directory) {
  const {status} = spawnSync(OCLIF, ['manifest'], {
    cwd: directory,
    // A fixed environment: oclif takes defaults of flags from it.
    env: {HOME: directory, PATH: process.env.PATH},
    shell: process.platform === 'win32',
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (status !== 0) throw new Error('oclif manifest failed')
  const path = join(directory, 'oclif.manifest.json')
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, JSON.stringify(fixHelp(JSON.parse(text)), undefined, 2))
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) makeManifest(process.cwd())
