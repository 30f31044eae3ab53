// Removes what `npm run build` made, so that no command lives on in dist after its source is gone.
import {rmSync} from 'node:fs'

rmSync(new URL('../dist', import.meta.url), {force: true, recursive: true})
