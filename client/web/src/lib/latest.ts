/**
 * Requests of which only the newest counts. It ends the one before, and an
 * answer that comes in spite of that is dropped: answers never overtake.
 */
export class Latest {
  #current: AbortController | null = null;

  get busy() {
    return this.#current !== null;
  }

  /** Returns null, whatever became of the request, when a newer one was made. */
  async run<T>(request: (signal: AbortSignal) => Promise<T>): Promise<T | null> {
    this.#current?.abort();
    const mine = new AbortController();
    this.#current = mine;
    try {
      const answer = await request(mine.signal);
      return this.#current === mine ? answer : null;
    } catch (e) {
      if (this.#current !== mine) return null;
      throw e;
    } finally {
      if (this.#current === mine) this.#current = null;
    }
  }

  /** Ends the request that runs, if any. */
  stop() {
    this.#current?.abort();
    this.#current = null;
  }
}
