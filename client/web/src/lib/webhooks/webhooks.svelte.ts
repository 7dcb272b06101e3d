import { SvelteMap } from 'svelte/reactivity';
import { api, ApiError, messageOf } from '../api.ts';
import { Latest } from '../latest.ts';
import { live } from '../live/live.svelte.ts';
import { toasts } from '../toasts.svelte.ts';
import type { Attempt, EventType, Fields, Secret, Webhook } from './types.ts';

type Heard = { webhook?: Webhook; attempted?: { id: string; last_attempt: Attempt }[] };

const SOON_MS = 1000;

/** All webhooks. The REST API makes the list, the topic `webhooks` keeps it. */
class Webhooks {
  list = $state.raw<Webhook[] | null>(null);
  failed = $state('');
  /** Types of events that a webhook can ask for; empty until they are known. */
  types = $state.raw<EventType[]>([]);
  /** Grows, by webhook, when it was sent to. */
  attempts = new SvelteMap<string, number>();

  #latest = new Latest();
  #wanted = new SvelteMap<string, boolean>(); // what the switches say before the server does
  #soon: ReturnType<typeof setTimeout> | undefined;

  /** Loads, and hears of changes until the function it returns is called. */
  follow(): () => void {
    void this.reload();
    if (!this.types.length) void this.#loadTypes();
    const off = live.subscribe('webhooks', {
      snapshot: () => void this.reload({ background: true }), // it has a part of them
      event: (kind, _at, data) => this.#hear(kind, data as Heard),
      update: () => {},
      refused: () => {}, // the page works without
    });
    return () => {
      off();
      clearTimeout(this.#soon);
      this.#soon = undefined;
      this.#latest.stop();
    };
  }

  async reload({ background = false } = {}) {
    if (!background) this.failed = '';
    try {
      const answer = await this.#latest.run((signal) => api<{ items: Webhook[] }>('GET', '/api/webhooks', { signal }));
      if (!answer) return;
      this.list = answer.items;
      this.failed = '';
    } catch (e) {
      if (!background || !this.list) this.failed = messageOf(e);
    }
  }

  find = (id: string) => this.list?.find((w) => w.id === id);

  isOn = (w: Webhook) => this.#wanted.get(w.id) ?? w.enabled;

  /** Moves the switch at once, and back when the server refuses. */
  async setOn(w: Webhook, on: boolean) {
    this.#wanted.set(w.id, on);
    try {
      this.#take(await api<Webhook>('PATCH', path(w.id), { body: { enabled: on } }));
    } catch (e) {
      toasts.add('error', `The webhook was not switched ${on ? 'on' : 'off'}. ${messageOf(e)}`, { label: 'Try again', run: () => void this.setOn(w, on) });
    }
    this.#wanted.delete(w.id);
  }

  /** It throws ApiError. The answer has the secret. */
  async create(fields: Fields, key: string): Promise<Webhook> {
    const made = await api<Webhook>('POST', '/api/webhooks', { body: fields, headers: { 'Idempotency-Key': key } });
    this.#take({ ...made, secret: undefined });
    return made;
  }

  /** Changes the version that is known here. It throws ApiError; a newer version is taken in. */
  async change(w: Webhook, fields: Partial<Fields>): Promise<Webhook> {
    try {
      const now = await api<Webhook>('PATCH', path(w.id), { body: fields, headers: { 'If-Match': `"${w.version}"` } });
      this.#take(now);
      return now;
    } catch (e) {
      const now = e instanceof ApiError && e.status === 412 ? (e.problem.current as Webhook | undefined) : undefined;
      if (now) this.#take(now);
      throw e;
    }
  }

  async remove(w: Webhook) {
    try {
      await api('DELETE', path(w.id));
    } catch (e) {
      if (!(e instanceof ApiError && e.status === 404)) throw e;
    }
    this.#drop(w.id);
  }

  test = (id: string) => api<Attempt>('POST', `${path(id)}/test`);
  secret = (id: string) => api<Secret>('GET', `${path(id)}/secret`);
  rotate = (id: string) => api<Secret>('POST', `${path(id)}/rotate-secret`);

  async #loadTypes() {
    try {
      this.types = (await api<{ items: EventType[] }>('GET', '/api/event-types')).items.filter((t) => t.type !== 'webhook.test');
    } catch {
      // the dialog then takes types as text
    }
  }

  #hear(kind: string, data: Heard) {
    if (kind === 'webhook.deleted') this.#drop(data.webhook!.id);
    else if (data.webhook) this.#take(data.webhook);
    for (const a of data.attempted ?? []) {
      const w = this.find(a.id);
      if (w) this.#take({ ...w, last_attempt: a.last_attempt });
      this.attempts.set(a.id, (this.attempts.get(a.id) ?? 0) + 1);
    }
    // The figures beside it are not told of.
    if (data.attempted) this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      void this.reload({ background: true });
    }, SOON_MS);
  }

  #take(w: Webhook) {
    if (!this.list) return;
    const known = this.find(w.id);
    if (known && known.version > w.version) return;
    this.list = known ? this.list.map((x) => (x.id === w.id ? w : x)) : [...this.list, w];
  }

  #drop(id: string) {
    if (this.list) this.list = this.list.filter((w) => w.id !== id);
  }
}

const path = (id: string) => `/api/webhooks/${encodeURIComponent(id)}`;

export const webhooks = new Webhooks();
