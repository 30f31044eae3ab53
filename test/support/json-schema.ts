import {readFileSync} from 'node:fs'

/** A JSON schema, as far as ours use the language; anything else in one is refused. */
export type Schema = Record<string, unknown>

const known = new Set([
  '$id',
  '$defs',
  '$ref',
  '$schema',
  'additionalProperties',
  'anyOf',
  'const',
  'description',
  'enum',
  'items',
  'properties',
  'required',
  'title',
  'type',
])

/** One of schemas/, by its name. */
export function readSchema(name: string): Schema {
  return JSON.parse(readFileSync(new URL(`../../schemas/${name}.schema.json`, import.meta.url), 'utf8')) as Schema
}

/** @returns what is wrong with `value`, one sentence each; empty when the schema allows it */
export function violations(root: Schema, value: unknown): string[] {
  const found: string[] = []
  check(root, root, value, '$', found)
  return found
}

function check(root: Schema, schema: Schema, value: unknown, path: string, found: string[]): void {
  const strange = Object.keys(schema).find((keyword) => !known.has(keyword))
  if (strange !== undefined) throw new TypeError(`this validator does not know ${strange}`)
  if (typeof schema.$ref === 'string') {
    const target = (root.$defs as Record<string, Schema>)[schema.$ref.replace('#/$defs/', '')]
    if (!target) throw new TypeError(`no definition ${schema.$ref}`)
    check(root, target, value, path, found)
    return
  }

  if (Array.isArray(schema.anyOf)) {
    const fits = (part: Schema) => {
      const wrong: string[] = []
      check(root, part, value, path, wrong)
      return wrong.length === 0
    }

    if (!(schema.anyOf as Schema[]).some((part) => fits(part))) found.push(`${path} is nothing of what it may be`)
  }

  if ('const' in schema && value !== schema.const) found.push(`${path} is not ${JSON.stringify(schema.const)}`)
  if (Array.isArray(schema.enum) && !schema.enum.includes(value))
    found.push(`${path} is none of the allowed: ${String(value)}`)
  if (schema.type !== undefined && !isOf([schema.type].flat(), value)) {
    found.push(`${path} is ${typeOf(value)}, not ${String(schema.type)}`)
    return
  }

  if (Array.isArray(value) && schema.items) {
    for (const [index, item] of value.entries()) check(root, schema.items as Schema, item, `${path}[${index}]`, found)
  }

  if (typeOf(value) === 'object') checkObject(root, schema, value as Record<string, unknown>, path, found)
}

function checkObject(
  root: Schema,
  schema: Schema,
  value: Record<string, unknown>,
  path: string,
  found: string[],
): void {
  const properties = (schema.properties ?? {}) as Record<string, Schema>
  for (const name of (schema.required ?? []) as string[]) if (!(name in value)) found.push(`${path}.${name} is missing`)
  for (const [name, member] of Object.entries(value)) {
    const own = properties[name]
    if (own) check(root, own, member, `${path}.${name}`, found)
    else if (schema.additionalProperties === false) found.push(`${path}.${name} is not in the schema`)
    else if (typeof schema.additionalProperties === 'object') {
      check(root, schema.additionalProperties as Schema, member, `${path}.${name}`, found)
    }
  }
}

/** Whole numbers are numbers too. */
function isOf(types: unknown[], value: unknown): boolean {
  const type = typeOf(value)
  return types.includes(type) || (type === 'integer' && types.includes('number'))
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}
