import {plural} from '../../plural.js'
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

/** Addresses of the first few servers. */
export function named(servers: ReadonlyArray<{address: string}>): string {
  return listed(servers.map(({address}) => address))
}

/** `all 3 servers`, `the one server`. */
export function everyone(count: number, noun: string): string {
  return count === 1 ? `the one ${noun}` : `all ${plural(count, noun)}`
}

/** `31 s`, `0.5 s`. */
export function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`
}

/** Groups names by what is said of them: `no id on a:1, b:1; disabled on c:1`. */
export function groupedBy<T>(items: readonly T[], figure: (item: T) => string, name: (item: T) => string): string {
  const groups = new Map<string, string[]>()
  for (const item of items) {
    const key = figure(item)
    groups.set(key, [...(groups.get(key) ?? []), name(item)])
  }

  return [...groups].map(([key, names]) => `${key} on ${listed(names)}`).join('; ')
}

/** As `groupedBy`, but only counts where all agree: `30000 ms on all 3 servers`. */
export function figuresOf<T>(items: readonly T[], figure: (item: T) => string, name: (item: T) => string): string {
  const [first, ...others] = new Set(items.map((item) => figure(item)))
  if (first === undefined) return 'nothing known'
  return others.length === 0
    ? `${first} on ${items.length === 1 ? name(items[0]!) : `all ${items.length}`}`
    : groupedBy(items, figure, name)
}
