/** Patches of one planted bug: `{file, find, replace}`, file from the root of the repository. */
let patches = []

export function initialize({edits}) {
  patches = edits
}

export async function load(url, context, nextLoad) {
  const loaded = await nextLoad(url, context)
  const path = new URL(url).pathname
  const mine = patches.filter(({file}) => path.endsWith(`/${file}`))
  if (mine.length === 0) return loaded
  let source = loaded.source?.toString()
  for (const {find, replace} of mine) {
    if (source?.split(find).length !== 2) throw new Error(`a planted bug does not fit ${path} any more: ${find}`)
    source = source.replace(find, () => replace)
  }

  return {...loaded, source}
}
