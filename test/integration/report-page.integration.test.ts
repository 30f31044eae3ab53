import assert from 'node:assert/strict'
import {execFile} from 'node:child_process'
import {mkdtempSync, readFileSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {inflateSync} from 'node:zlib'
import {findChromium, howToInstall} from '../../scripts/setup-chromium.mjs'
import {writeReport} from '../../src/lib/ui/report/write.js'
import {rehearsedReport} from '../support/report.js'

const OPEN_LIMIT_MS = 90_000
const HOSTILE = `<img src=x onerror="document.title='owned'">`

/** What Chromium does with a page; on a busy machine it takes a while to begin. */
async function chromium(directory: string, page: string, ...args: string[]): Promise<string> {
  const {stdout} = await promisify(execFile)(
    findChromium()!,
    [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      `--user-data-dir=${join(directory, 'profile')}`,
      ...args,
      `file://${page}`,
    ],
    {cwd: directory, maxBuffer: 16 * 1024 * 1024, timeout: OPEN_LIMIT_MS},
  )
  return stdout
}

/** Width, height, and the colour of the pixel in the upper left corner, of a PNG of 8 bits a colour. */
function lookAt(path: string): {corner: number[]; height: number; width: number} {
  const png = readFileSync(path)
  const chunks: Buffer[] = []
  for (let offset = 8; offset < png.length; offset += 12 + png.readUInt32BE(offset)) {
    const type = png.toString('latin1', offset + 4, offset + 8)
    if (type === 'IDAT') chunks.push(png.subarray(offset + 8, offset + 8 + png.readUInt32BE(offset)))
  }

  // No filter changes the first pixel: there is nothing beside or above it.
  const pixels = inflateSync(Buffer.concat(chunks))
  return {corner: [...pixels.subarray(1, 4)], height: png.readUInt32BE(20), width: png.readUInt32BE(16)}
}

describe('the page of a report in a browser', () => {
  let directory = ''
  let page = ''

  before(async function () {
    if (findChromium() === undefined) {
      console.log(`      skipped: there is no Chromium to look with (${howToInstall})`)
      this.skip()
    }

    directory = mkdtempSync(join(tmpdir(), 'table-migrator-page-'))
    page = join(directory, 'report.html')
    const report = await rehearsedReport('again')
    report.result!.warnings.push(HOSTILE)
    await writeReport(page, report)
  })

  after(() => rmSync(directory, {force: true, recursive: true}))

  it('has its sections and its pictures, and what others said is text', async function () {
    this.timeout(OPEN_LIMIT_MS)
    const dom = await chromium(directory, page, '--dump-dom')
    assert.match(dom, /<h1>users was moved from onebox to onebox2\.<\/h1>/)
    assert.match(dom, /<title>users was moved/)
    assert.ok(dom.includes('&lt;img src=x onerror='), 'the hostile warning is shown')
    assert.doesNotMatch(dom, /<img/)
    // Phases, two write-deny windows, lag, confirmed.
    assert.equal(dom.match(/<svg /g)?.length, 5)
    assert.ok(dom.match(/class="bar window"/g)!.length >= 9)
    assert.doesNotMatch(dom, /NaN|Infinity|undefined/)
  })

  it('is light or dark, as the reader has it', async function () {
    this.timeout(3 * OPEN_LIMIT_MS)
    for (const [scheme, corner] of [
      [1, [255, 255, 255]],
      [0, [13, 17, 23]],
    ] as const) {
      const picture = join(directory, `${scheme}.png`)
      const flags = [`--blink-settings=preferredColorScheme=${scheme}`, '--hide-scrollbars', '--window-size=1100,2200']
      await chromium(directory, page, ...flags, `--screenshot=${picture}`)
      assert.deepEqual(lookAt(picture), {corner: [...corner], height: 2200, width: 1100})
    }
  })

  it('can be printed', async function () {
    this.timeout(OPEN_LIMIT_MS)
    const paper = join(directory, 'report.pdf')
    await chromium(directory, page, '--no-pdf-header-footer', `--print-to-pdf=${paper}`)
    assert.match(readFileSync(paper, 'latin1'), /^%PDF-/)
  })
})
