/** The address is the state: every page has one, and links are plain links. */
class Router {
  path = $state(location.pathname);
  /** The query of the address, with its question mark, or empty. */
  search = $state(location.search);

  constructor() {
    addEventListener('popstate', () => this.#read());
    addEventListener('click', (e) => {
      const link = e.target instanceof Element ? e.target.closest('a') : null;
      const plain = !e.defaultPrevented && e.button === 0 && !e.metaKey && !e.ctrlKey && !e.shiftKey && !e.altKey;
      if (!link?.href || !plain || link.target || link.hasAttribute('download')) return;
      const to = new URL(link.href);
      if (to.origin !== location.origin || to.hash || /\.\w+$/.test(to.pathname)) return; // files are the server's
      e.preventDefault();
      this.go(to.pathname + to.search);
    });
  }

  /** Goes to another address; Back returns. */
  go(to: string) {
    if (to !== location.pathname + location.search) history.pushState(null, '', to);
    this.#read();
    scrollTo(0, 0);
  }

  /** Says the address of what is shown now; Back leads to what was before. */
  replace(to: string) {
    if (to !== location.pathname + location.search) history.replaceState(null, '', to);
    this.#read();
  }

  #read() {
    this.path = location.pathname;
    this.search = location.search;
  }
}

export const router = new Router();
