import assert from 'node:assert/strict'
import fc from 'fast-check'
import {FramePainter} from '../../../src/lib/ui/frame-painter.js'
import {Screen} from '../../support/screen.js'

function painted(columns = 20, rows = 8) {
  const screen = new Screen(columns, rows)
  const written: string[] = []
  const canvas = {
    columns,
    rows,
    write(text: string) {
      written.push(text)
      screen.write(text)
    },
  }
  return {canvas, painter: new FramePainter(canvas), screen, written}
}

describe('frames', () => {
  it('are painted over one another, whatever was there before', () => {
    const line = fc.stringMatching(/^[a-z ]{0,19}[a-z]$/)
    const frame = fc.array(line, {maxLength: 7, minLength: 1})
    fc.assert(
      fc.property(fc.array(frame, {maxLength: 8, minLength: 1}), (frames) => {
        const {painter, screen} = painted()
        for (const lines of frames) {
          painter.paint(lines)
          assert.equal(screen.text, lines.join('\n'))
        }

        assert.equal(screen.scrolled + screen.wrapped + screen.erased, 0)
      }),
    )
  })

  it('cost no more than the lines that have changed', () => {
    const {painter, written} = painted()
    painter.paint(['first line', 'second line'])
    painter.paint(['first line', 'second line'])
    assert.equal(written.length, 1)
    painter.paint(['first line', 'another'])
    assert.ok(!written[1]!.includes('first'), written[1])
  })

  it('that are higher than the screen show their end, and all of it once they are done', () => {
    const {painter, screen} = painted(20, 4)
    const lines = ['a', 'b', 'c', 'd', 'e']
    painter.paint(lines)
    assert.equal(screen.text, 'c\nd\ne')
    assert.equal(screen.scrolled, 0)
    painter.finish(lines)
    assert.equal(screen.text, 'c\nd\ne', 'the rest has scrolled out above')
    assert.equal(screen.scrolled, 2)
  })

  it('hide the cursor until the last one', () => {
    const {painter, screen} = painted()
    painter.paint(['a'])
    assert.ok(screen.cursorHidden)
    painter.finish(['a', 'b'])
    assert.ok(!screen.cursorHidden)
    assert.equal(screen.text, 'a\nb')
  })

  it('are drawn anew when the terminal has another width', () => {
    const {canvas, painter, written} = painted(20, 8)
    painter.paint(['a'.repeat(20), 'b'])
    canvas.columns = 10
    painter.paint(['a'.repeat(10), 'b'])
    // The first line takes two rows now.
    // eslint-disable-next-line no-control-regex
    assert.match(written[1]!, /\u001B\[3A\u001B\[J/)
  })
})
