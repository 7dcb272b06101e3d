import { browser, keepAwake } from './browser.ts';
import { Connection, type Status } from './connection.ts';
import type { Reader } from './topic.ts';

/** The connection of this tab, for components: the same thing with a status to look at. */
class Live {
  status = $state.raw<Status>({ kind: 'connecting' });
  /** Called after each connection that ended or was not made. */
  whenCut = () => {};
  #connection = new Connection(browser, (s) => {
    this.status = s;
    if (s.kind === 'waiting' || s.kind === 'stopped') this.whenCut();
  });
  #awake = false;

  /** Connects, and again after hangUp. */
  start() {
    if (this.#awake) this.#connection.start();
    else keepAwake(this.#connection);
    this.#awake = true;
  }

  /** Stays away until start. */
  hangUp() {
    this.#connection.hangUp();
  }
  subscribe(topic: string, reader: Reader) {
    return this.#connection.subscribe(topic, reader);
  }
  retryNow() {
    this.#connection.retryNow();
  }
}

export const live = new Live();
