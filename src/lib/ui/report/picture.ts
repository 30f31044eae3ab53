/** Text inside HTML and SVG, attributes too; control characters are left out, as neither may hold them. */
export function escape(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, (character) => (character === '\n' ? ' ' : '�'))
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}

const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 43_200, 86_400]

/** `1:05`, `2:00:00`, `0.4 s`: time since the begin, on an axis. */
export function formatClock(ms: number, stepMs: number): string {
  if (stepMs < 1000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  const [hours, minutes, rest] = parts.map((part) => String(part).padStart(2, '0'))
  return parts[0] === 0 ? `${parts[1]}:${rest}` : `${Number(hours)}:${minutes}:${rest}`
}

/** A span of time laid over pixels. */
export class TimeAxis {
  constructor(
    private readonly fromMs: number,
    private readonly toMs: number,
    private readonly left: number,
    private readonly right: number,
  ) {}

  x(atMs: number): number {
    const share = (atMs - this.fromMs) / Math.max(1, this.toMs - this.fromMs)
    return round(this.left + Math.min(1, Math.max(0, share)) * (this.right - this.left))
  }

  /** Lines at round times, from `top` to `bottom`, their names below; times count from `zeroMs`. */
  grid(top: number, bottom: number, zeroMs = this.fromMs): string {
    const stepMs = 1000 * (STEPS_S.find((step) => (this.toMs - this.fromMs) / 1000 / step <= 8) ?? STEPS_S.at(-1)!)
    const lines: string[] = []
    for (let ms = Math.ceil((this.fromMs - zeroMs) / stepMs) * stepMs; zeroMs + ms <= this.toMs; ms += stepMs) {
      const x = this.x(zeroMs + ms)
      lines.push(
        `<line class="grid" x1="${x}" x2="${x}" y1="${top}" y2="${bottom}"/>`,
        `<text class="tick" x="${x}" y="${bottom + 14}" text-anchor="middle">${formatClock(ms, stepMs)}</text>`,
      )
    }

    return lines.join('')
  }
}

export function round(value: number): number {
  return Math.round(value * 10) / 10
}

/** One picture, `width` by `height`; `label` is read out. */
export function svg(width: number, height: number, label: string, body: string): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(label)}" preserveAspectRatio="xMinYMin meet">${body}</svg>`
}
