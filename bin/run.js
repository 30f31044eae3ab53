#!/usr/bin/env node
// Runs the built plugin as a `pegasus` of its own: for oclif's manifest and README, and for trying it out.
import {execute} from '@oclif/core'

await execute({dir: import.meta.url})
