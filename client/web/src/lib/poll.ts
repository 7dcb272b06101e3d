/** What polling needs of the page; a test brings its own. */
export type Surroundings = {
  hidden(): boolean;
  /** Calls back when the page is hidden or shown; returns how to stop. */
  onChange(heard: () => void): () => void;
  /** setTimeout; returns how to cancel it. */
  later(run: () => void, ms: number): () => void;
};

const page: Surroundings = {
  hidden: () => document.hidden,
  onChange(heard) {
    document.addEventListener('visibilitychange', heard);
    return () => document.removeEventListener('visibilitychange', heard);
  },
  later(run, ms) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/**
 * Asks at once, and again so long after each answer, until the function it
 * returns is called. A hidden page asks nothing, and at once when it is shown.
 */
export function poll(ask: (signal: AbortSignal) => Promise<void>, everyMs: number, around: Surroundings = page): () => void {
  const end = new AbortController();
  let cancel = () => {};
  let asking = false;
  async function look() {
    cancel();
    if (asking || around.hidden()) return;
    asking = true;
    try {
      await ask(end.signal);
    } finally {
      asking = false;
    }
    if (!end.signal.aborted) cancel = around.later(() => void look(), everyMs);
  }
  const off = around.onChange(() => void look());
  void look();
  return () => {
    end.abort();
    cancel();
    off();
  };
}
