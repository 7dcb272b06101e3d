import type { Connection, Socket, World } from './connection.ts';
import { SUBPROTOCOL } from './frames.ts';

/** The browser's sockets, clock and chance. */
export const browser: World = {
  open() {
    const url = new URL('/ws', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    return new WebSocket(url, SUBPROTOCOL) as Socket;
  },
  now: () => Date.now(),
  after(ms, f) {
    const timer = setTimeout(f, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

/** Starts the connection and wakes it when the page or the network comes back. */
export function keepAwake(connection: Connection) {
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) connection.wake();
  });
  document.addEventListener('resume', () => connection.wake());
  addEventListener('pageshow', () => connection.wake());
  addEventListener('pagehide', () => connection.sleep()); // or the page is kept out of the back-forward cache
  addEventListener('online', () => connection.wake());
  addEventListener('offline', () => connection.wake()); // probes: a server on this machine is still there
  connection.start();
}
