import { api, whenRefused } from '../api.ts';
import type { SessionState } from './types.ts';

/** What is assumed of a server that does not say: the requests that follow find out. */
const UNKNOWN: SessionState = { required: false, password_set: false, caller: 'anybody', scope: 'admin' };

/** Whether this page may ask the server for more than that, and as whom. */
class Session {
  /** null until the server has said, or cannot. */
  state = $state.raw<SessionState | null>(null);
  /** Nobody is signed in here, and somebody has to be. */
  needed = $derived(this.state?.required === true && this.state.caller === 'nobody');

  /** Grows when the password was set: other sessions have ended. */
  passwords = $state(0);

  #tell = { in: () => {}, out: () => {} };
  #changes = 0;

  /** Finds out who asks. tell.in is called when the page may begin, and after each sign-in; tell.out when it may no longer. */
  async start(tell: { in(): void; out(): void }) {
    this.#tell = tell;
    whenRefused(() => this.#set({ ...(this.state ?? UNKNOWN), required: true, caller: 'nobody' }));
    await this.check();
  }

  /** Asks again: a socket that ends does not say why. */
  async check() {
    const before = this.#changes;
    try {
      const state = await api<SessionState>('GET', '/api/session');
      if (before === this.#changes) this.#set(state);
    } catch {
      if (!this.state) this.#set(UNKNOWN);
    }
  }

  /** It throws ApiError. */
  async signIn(password: string) {
    this.#set(await api<SessionState>('POST', '/api/session', { body: { password } }));
  }

  /** Leaves nothing of what was shown in this tab. It throws ApiError. */
  async signOut() {
    await api('DELETE', '/api/session');
    location.assign('/');
  }

  /** Sets the first password, or another. It throws ApiError. */
  async setPassword(password: string, current?: string) {
    this.#set(await api<SessionState>('PUT', '/api/password', { body: { password, ...(current !== undefined && { current }) } }));
    this.passwords++;
  }

  #set(state: SessionState) {
    this.#changes++;
    const was = this.state && !this.needed;
    this.state = state;
    if (this.needed) this.#tell.out();
    else if (!was) this.#tell.in();
  }
}

export const session = new Session();
