/** The address is the state: every page has one, and links are plain links. */
class Router {
  path = $state(location.pathname);

  constructor() {
    addEventListener('popstate', () => (this.path = location.pathname));
    addEventListener('click', (e) => {
      const link = e.target instanceof Element ? e.target.closest('a') : null;
      const plain = !e.defaultPrevented && e.button === 0 && !e.metaKey && !e.ctrlKey && !e.shiftKey && !e.altKey;
      if (!link || !plain || link.target || link.hasAttribute('download')) return;
      const to = new URL(link.href);
      if (to.origin !== location.origin || to.hash || /\.\w+$/.test(to.pathname)) return; // files are the server's
      e.preventDefault();
      this.go(to.pathname);
    });
  }

  go(path: string) {
    if (path !== location.pathname) history.pushState(null, '', path);
    this.path = path;
    scrollTo(0, 0);
  }
}

export const router = new Router();
