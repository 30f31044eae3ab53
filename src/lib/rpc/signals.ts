import {setMaxListeners} from 'node:events'

/** Many calls listen to the signal that their caller gave them: Node's warning of a leak at the eleventh is wrong here. */
export function allowListeners(signal: AbortSignal | undefined): void {
  if (signal) setMaxListeners(0, signal)
}
