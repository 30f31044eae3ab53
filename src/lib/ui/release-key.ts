import type {ReleaseKey} from '../migration/hold-desk.js'

const CTRL_C = 0x03
const CTRL_Z = 0x1a
const KEY = 'c'

/** The terminal's keyboard; `process.stdin` is one. */
export interface Keyboard {
  off(event: 'data', listener: (bytes: Buffer) => void): unknown
  on(event: 'data', listener: (bytes: Buffer) => void): unknown
  pause(): unknown
  resume(): unknown
  setRawMode(raw: boolean): unknown
}

/**
 * The key by which a person ends a hold. Keys are taken one by one and not shown, so that the screen stays as it is; what the
 * terminal would have made of Ctrl-C and Ctrl-Z is done here.
 */
export function releaseKey(keyboard: Keyboard, actions: {onInterrupt(): void; onSuspend(): void}): ReleaseKey {
  return {
    hint: `press ${KEY}`,
    async pressed(signal) {
      signal.throwIfAborted()
      const cleanUp: (() => void)[] = []
      try {
        await new Promise<void>((resolve, reject) => {
          const onAbort = () => reject(signal.reason)
          const onData = (bytes: Buffer) => {
            for (const byte of bytes) {
              if (byte === CTRL_C) actions.onInterrupt()
              else if (byte === CTRL_Z) actions.onSuspend()
              else if (String.fromCodePoint(byte).toLowerCase() === KEY) resolve()
            }
          }

          signal.addEventListener('abort', onAbort, {once: true})
          keyboard.setRawMode(true)
          keyboard.on('data', onData)
          keyboard.resume()
          cleanUp.push(() => {
            signal.removeEventListener('abort', onAbort)
            keyboard.off('data', onData)
            keyboard.setRawMode(false)
            keyboard.pause()
          })
        })
      } finally {
        for (const undo of cleanUp) undo()
      }
    },
  }
}
