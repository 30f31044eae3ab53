#!/usr/bin/env -S node --import tsx --disable-warning=ExperimentalWarning
// Runs the plugin from its TypeScript sources.
import {execute} from '@oclif/core'

await execute({development: true, dir: import.meta.url})
