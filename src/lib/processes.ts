import {readFile, readlink} from 'node:fs/promises'
import {hostname} from 'node:os'

import {hasCode} from './files.js'

/** What tells a process apart from every other, also after its pid is used again. */
export interface ProcessName {
  host: string
  pid: number
  /** Tells processes apart that share a host's name and not its process ids (containers); empty where nobody can tell. */
  pidSpace: string
  /** When it began, in the system's own words; empty where nobody can tell. */
  started: string
}

/** The processes of this machine. Injected, so that a simulation can have several in one. */
export interface Processes {
  /** Whether it is known to be dead: its pid is free or belongs to another process now. One of another machine never is. */
  isDead(name: ProcessName): Promise<boolean>
  /** Whether any process here has this pid. */
  lives(pid: number): boolean
  /** This one. */
  own(): Promise<ProcessName>
}

export const machineProcesses: Processes = {
  async isDead({host, pid, pidSpace: space, started}) {
    if (host !== hostname() || space !== (await pidSpace())) return false
    if (!machineProcesses.lives(pid)) return true
    const startedNow = await startOf(pid)
    return started !== '' && startedNow !== '' && startedNow !== started
  },

  lives(pid) {
    try {
      process.kill(pid, 0)
      return true
    } catch (error) {
      // EPERM: it lives, and is somebody else's.
      return hasCode(error, 'EPERM')
    }
  },

  async own() {
    const {pid} = process
    return {host: hostname(), pid, pidSpace: await pidSpace(), started: await startOf(pid)}
  },
}

/** The process's start in ticks since boot (proc(5), field 22); empty where the system does not tell. */
async function startOf(pid: number): Promise<string> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The second field may hold anything, blanks and brackets too.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return '' // no such file on other systems, or no such process: then the pid alone counts
  }
}

async function pidSpace(): Promise<string> {
  try {
    return await readlink('/proc/self/ns/pid')
  } catch {
    return '' // only Linux has them
  }
}
