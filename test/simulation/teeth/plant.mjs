// eslint-disable-next-line n/no-unsupported-features/node-builtins -- experimental, and there in every version that runs tests
import {register} from 'node:module'

// Loaded with --import before tsx, in a process of its own: the sources are changed as they are read, nothing on disk is.
const {PLANTED_BUG: planted} = process.env
if (planted) register('./plant-hooks.mjs', import.meta.url, {data: JSON.parse(planted)})
