/**
 * Lets several tests run side by side: what they do begins in `before`, each test waits for its own.
 * An error stays where it belongs, in the test that waits for it.
 */
export class Begun<T = void> {
  private readonly promises = new Map<string, Promise<T>>()

  begin(title: string, work: () => Promise<T>): void {
    const promise = work()
    promise.catch(() => {})
    this.promises.set(title, promise)
  }

  async end(title: string): Promise<T> {
    const promise = this.promises.get(title)
    if (!promise) throw new Error(`"${title}" was never begun`)
    return promise
  }

  /** Until all of them have ended, well or not. */
  async allEnded(): Promise<void> {
    await Promise.allSettled(this.promises.values())
  }
}
