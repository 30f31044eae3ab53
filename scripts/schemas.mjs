// Makes schemas/ from the types of what the commands print with --json, and of a report as JSON.
import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import {fileURLToPath, pathToFileURL} from 'node:url'
import ts from 'ts-json-schema-generator'

const root = fileURLToPath(new URL('..', import.meta.url))

const TIMES = 'Times are the wall clock, milliseconds since 1970-01-01 UTC, or durations in milliseconds.'
const UNUSABLE = 'A command line that cannot be used prints what error.schema.json describes.'

/** By the name of the file: the type, where it is, and what nobody but us can say of it. */
const documents = {
  error: ['ErrorDocument', 'src/lib/ui/base-command.ts', 'pegasus table:migrate* --json, without a result', ''],
  report: ['MigrationReport', 'src/lib/ui/report/record.ts', 'pegasus table:migrate --report FILE.json', TIMES],
  'table-migrate': ['MigrationResult', 'src/lib/migration/result.ts', 'pegasus table:migrate --json', TIMES],
  'table-migrate-release': [
    'ReleaseResult',
    'src/commands/table/migrate-release.ts',
    'pegasus table:migrate-release --json',
    '',
  ],
  'table-migrate-rollback': [
    'RollbackResult',
    'src/lib/migration/rollback/result.ts',
    'pegasus table:migrate-rollback --json',
    TIMES,
  ],
  'table-migrate-status': [
    'StatusReport',
    'src/lib/migration/status/report.ts',
    'pegasus table:migrate-status --json',
    TIMES,
  ],
  'table-migrate-verify': [
    'VerifyResult',
    'src/lib/migration/verify/run-types.ts',
    'pegasus table:migrate-verify --json',
    '',
  ],
}

/** Numbers that count or name something; TypeScript has one kind of number. */
const whole =
  /^(counted|countsDiffer|different|dupid|earlier|equal|exit|exitCode|expiring|hot|keysRead|partition|partitions|pid|reads|rows\w*|schema|unresolved|version|writes|missing\w+|on(Source|Target))$|(Count|Id|Index|Mutations)$/

const isEmpty = (schema) => typeof schema === 'object' && Object.keys(schema).length === 1 && 'not' in schema

/** As we want them: draft 2020-12, whole numbers, one line of description, and nothing that JSON does not have. */
function refined(schema, name) {
  if (Array.isArray(schema)) return schema.map((part) => refined(part))
  if (typeof schema !== 'object' || schema === null) return schema
  const entries = Object.entries(schema).map(([key, value]) => {
    if (key === '$ref') return [key, decodeURIComponent(value).replace('#/definitions/', '#/$defs/')]
    if (key === 'description') return [key, value.replaceAll(/\s+/g, ' ').trim()]
    if (key === 'properties' || key === 'definitions')
      return [
        key,
        Object.fromEntries(Object.entries(value).map(([property, part]) => [property, refined(part, property)])),
      ]
    return [key, refined(value)]
  })
  const {definitions, ...rest} = Object.fromEntries(entries)
  if (rest.type === 'number' && whole.test(name ?? '')) rest.type = 'integer'
  if (rest.anyOf) {
    // `undefined` is a member that is left out.
    rest.anyOf = rest.anyOf.filter((part) => !isEmpty(part))
    if (rest.anyOf.every((part) => Object.keys(part).join('') === 'type')) {
      rest.type = rest.anyOf.map(({type}) => type)
      delete rest.anyOf
    }
  }

  return definitions === undefined ? rest : {...rest, $defs: definitions}
}

function schemaOf(file) {
  const [type, path, title, description] = documents[file]
  const {createGenerator} = ts
  const generator = createGenerator({
    additionalProperties: false,
    expose: 'export',
    jsDoc: 'extended',
    path: join(root, path),
    // Types are checked elsewhere, and by another version of TypeScript.
    skipTypeCheck: true,
    sortProps: true,
    topRef: false,
    tsconfig: join(root, 'tsconfig.json'),
    type,
  })
  const {$defs, description: own, ...rest} = refined(generator.createSchema(type))
  const version = rest.properties.schema.const
  delete rest.$schema
  const said = [own, description, file.startsWith('table-') ? UNUSABLE : ''].filter(Boolean)
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `urn:table-migrator:${file}:${version}`,
    title,
    description: said.map((sentence) => (sentence.endsWith('.') ? sentence : `${sentence}.`)).join(' '),
    ...rest,
    ...($defs && Object.keys($defs).length > 0 ? {$defs} : {}),
  }
}

/** @returns what belongs into each file of schemas/, by its name */
export function makeSchemas() {
  return new Map(
    Object.keys(documents).map((file) => [`${file}.schema.json`, `${JSON.stringify(schemaOf(file), undefined, 2)}\n`]),
  )
}

if (import.meta.url === pathToFileURL(process.argv[1]).href)
  for (const [name, text] of makeSchemas()) writeFileSync(join(root, 'schemas', name), text)
