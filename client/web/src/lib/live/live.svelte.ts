import { browser, keepAwake } from './browser.ts';
import { Connection, type Status } from './connection.ts';
import type { Reader } from './topic.ts';

/** The connection of this tab, for components: the same thing with a status to look at. */
class Live {
  status = $state.raw<Status>({ kind: 'connecting' });
  #connection = new Connection(browser, (s) => (this.status = s));

  start() {
    keepAwake(this.#connection);
  }
  subscribe(topic: string, reader: Reader) {
    return this.#connection.subscribe(topic, reader);
  }
  retryNow() {
    this.#connection.retryNow();
  }
}

export const live = new Live();
