// A thread does not read TypeScript by itself, as the process does with `--import tsx`.
import {register} from 'tsx/esm/api'

register()
await import('./worker.ts')
