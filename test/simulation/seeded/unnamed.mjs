// eslint-disable-next-line n/no-unsupported-features/node-builtins -- experimental, and there in every version that runs tests
import {register} from 'node:module'

// Loaded with --import after tsx, whose work it sees.
register('./unnamed-hooks.mjs', import.meta.url)
