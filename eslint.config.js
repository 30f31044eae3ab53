import oclif from 'eslint-config-oclif'
import prettier from 'eslint-config-prettier'
import tseslint from 'typescript-eslint'

const everywhere = {
  // The names of servers' and libraries' fields, and signatures of theirs.
  camelcase: 'off',
  'jsdoc/check-param-names': 'off',
  'jsdoc/require-yields': 'off',
  complexity: 'off',
  'max-depth': 'off',
  'max-nested-callbacks': 'off',
  'max-params': 'off',
  'no-unmodified-loop-condition': 'off',
  'import/no-named-as-default-member': 'off',
  'mocha/consistent-spacing-between-blocks': 'off',
  'mocha/max-top-level-suites': 'off',
  'unicorn/numeric-separators-style': 'off',
  'unicorn/prefer-event-target': 'off',
  // A codec shifts bits, and whoever drives servers awaits one step after the other.
  'no-await-in-loop': 'off',
  'no-bitwise': 'off',
  'no-void': 'off',
  '@stylistic/lines-between-class-members': 'off',
  'unicorn/consistent-function-scoping': 'off',
  'unicorn/no-array-callback-reference': 'off',
  'unicorn/no-array-push-push': 'off',
  'unicorn/prefer-string-raw': 'off',
  // Order carries meaning: fields as on the wire, members as they are read.
  'perfectionist/sort-classes': 'off',
  'perfectionist/sort-enums': 'off',
  'perfectionist/sort-exports': 'off',
  'perfectionist/sort-imports': 'off',
  'perfectionist/sort-interfaces': 'off',
  'perfectionist/sort-intersection-types': 'off',
  'perfectionist/sort-named-imports': 'off',
  'perfectionist/sort-object-types': 'off',
  'perfectionist/sort-objects': 'off',
  'perfectionist/sort-sets': 'off',
  'perfectionist/sort-switch-case': 'off',
  'perfectionist/sort-union-types': 'off',
  'prefer-destructuring': 'off',
  'unicorn/no-useless-undefined': 'off',
  'unicorn/require-array-join-separator': 'off',
}

const typed = {
  '@typescript-eslint/await-thenable': 'error',
  '@typescript-eslint/no-floating-promises': 'error',
  '@typescript-eslint/no-misused-promises': 'error',
  '@typescript-eslint/switch-exhaustiveness-check': ['error', {considerDefaultExhaustiveForUnions: true}],
  // The compiler knows.
  'import/no-unresolved': 'off',
  'no-undef': 'off',
}

// Functions named `before` or `after` are not always mocha's.
const notMocha = {'mocha/no-exports': 'off', 'mocha/no-sibling-hooks': 'off', 'mocha/no-top-level-hooks': 'off'}

// Programs, not parts of one: they print and they end the process.
const programs = {
  'n/no-unsupported-features/node-builtins': ['error', {ignores: ['fetch', 'fs.cpSync', 'fs/promises.cp']}],
  'n/no-process-exit': 'off',
  'n/no-unpublished-import': 'off',
  'unicorn/no-process-exit': 'off',
}

export default tseslint.config(
  {ignores: ['dist/', 'coverage/', '.sandbox/', 'test/golden/']},
  {linterOptions: {reportUnusedDisableDirectives: 'error'}},
  oclif,
  prettier,
  {rules: everywhere},
  {
    files: ['**/*.ts'],
    ignores: ['**/*.d.ts'],
    languageOptions: {parserOptions: {projectService: true, tsconfigRootDir: new URL('.', import.meta.url).pathname}},
    rules: typed,
  },
  {rules: notMocha},
  {files: ['bench/**', 'bin/**', 'scripts/**', 'test/**', 'eslint.config.js'], rules: programs},
  {
    files: ['**/*.cjs'],
    languageOptions: {globals: {module: 'writable', process: 'readonly', require: 'readonly'}, sourceType: 'commonjs'},
    rules: {'@typescript-eslint/no-require-imports': 'off', 'unicorn/prefer-module': 'off'},
  },
)
