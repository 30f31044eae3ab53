import type {Finding} from './check.js'

export const ok = (evidence: string): Finding => ({evidence, remedy: '', severity: 'ok'})
export const skipped = (evidence: string): Finding => ({evidence, remedy: '', severity: 'skipped'})
export const error = (evidence: string, remedy: string): Finding => ({evidence, remedy, severity: 'error'})
export const confirm = (evidence: string, remedy: string): Finding => ({evidence, remedy, severity: 'confirm'})
export const warning = (evidence: string, remedy: string): Finding => ({evidence, remedy, severity: 'warning'})

/** The first few of many, and how many more there are. */
export function listed(items: readonly (number | string)[], limit = 6): string {
  const shown = items.slice(0, limit).join(', ')
  return items.length > limit ? `${shown} and ${items.length - limit} more` : shown
}

/** `3 servers`, `1 server`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** `31 s`, `0.5 s`. */
export function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`
}

/** Groups names by what they say: `30000 on a:1, b:1; 1000 on c:1`. */
export function groupedBy<T>(items: readonly T[], figure: (item: T) => string, name: (item: T) => string): string {
  const groups = new Map<string, string[]>()
  for (const item of items) {
    const key = figure(item)
    const names = groups.get(key) ?? []
    names.push(name(item))
    groups.set(key, names)
  }

  if (groups.size === 1) return `${[...groups.keys()][0]} on ${counted(items.length, 'server')}`
  return [...groups].map(([key, names]) => `${key} on ${listed(names)}`).join('; ')
}
