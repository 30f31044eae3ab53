import assert from 'node:assert/strict'
import {EventEmitter} from 'node:events'
import {releaseKey} from '../../../src/lib/ui/release-key.js'

class FakeKeyboard extends EventEmitter {
  flowing = false
  raw = false

  pause(): void {
    this.flowing = false
  }

  resume(): void {
    this.flowing = true
  }

  setRawMode(raw: boolean): void {
    this.raw = raw
  }

  type(text: string): void {
    this.emit('data', Buffer.from(text))
  }
}

describe('the key that ends a hold', () => {
  const bed = () => {
    const keyboard = new FakeKeyboard()
    const heard: string[] = []
    const key = releaseKey(keyboard, {
      onInterrupt: () => heard.push('interrupt'),
      onSuspend: () => heard.push('suspend'),
    })
    return {heard, key, keyboard}
  }

  const isAsBefore = ({flowing, raw, ...keyboard}: FakeKeyboard) =>
    !flowing && !raw && keyboard && EventEmitter.prototype.listenerCount.call(keyboard, 'data') === 0

  for (const letter of ['c', 'C']) {
    it(`is ${letter}, and leaves the terminal as it was`, async () => {
      const {heard, key, keyboard} = bed()
      const pressed = key.pressed(new AbortController().signal)
      assert.ok(keyboard.raw && keyboard.flowing)
      keyboard.type(`xy\r${letter}`)
      await pressed
      assert.ok(isAsBefore(keyboard))
      assert.deepEqual(heard, [])
      assert.equal(key.hint, 'press c')
    })
  }

  it('does what the terminal does of Ctrl-C and Ctrl-Z', async () => {
    const {heard, key, keyboard} = bed()
    const abort = new AbortController()
    const pressed = key.pressed(abort.signal)
    keyboard.type('\u001A\u0003')
    assert.deepEqual(heard, ['suspend', 'interrupt'])
    abort.abort(new Error('over'))
    await assert.rejects(pressed, /over/)
    assert.ok(isAsBefore(keyboard))
  })

  it('takes no key when it is over before it began', async () => {
    const {key, keyboard} = bed()
    await assert.rejects(key.pressed(AbortSignal.abort(new Error('over'))), /over/)
    assert.ok(isAsBefore(keyboard))
  })
})
