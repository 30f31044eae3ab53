/** A JSON schema, as far as ours use the language; anything else in one is refused. */
export type Schema = Record<string, unknown>

const known = new Set([
  '$defs',
  '$ref',
  '$schema',
  'additionalProperties',
  'const',
  'description',
  'enum',
  'items',
  'minimum',
  'properties',
  'required',
  'title',
  'type',
])

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

  if ('const' in schema && value !== schema.const) found.push(`${path} is not ${JSON.stringify(schema.const)}`)
  if (Array.isArray(schema.enum) && !schema.enum.includes(value))
    found.push(`${path} is none of the allowed: ${String(value)}`)
  if (schema.type !== undefined && ![schema.type].flat().includes(typeOf(value))) {
    found.push(`${path} is ${typeOf(value)}, not ${String(schema.type)}`)
    return
  }

  if (typeof schema.minimum === 'number' && (value as number) < schema.minimum)
    found.push(`${path} is below ${schema.minimum}`)
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

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}
