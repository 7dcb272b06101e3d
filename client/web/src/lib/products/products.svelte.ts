import { SvelteMap, SvelteSet } from 'svelte/reactivity';
import { api, ApiError, messageOf } from '../api.ts';
import { Latest } from '../latest.ts';
import { live } from '../live/live.svelte.ts';
import { toasts } from '../toasts.svelte.ts';
import { parse, request, type Query } from './query.ts';
import type { Fields, Product, ProductPage } from './types.ts';
import { differences, drop, empty, settle, strike, take, type News, type View } from './view.ts';
import { refusal } from './words.ts';

const SOON_MS = 400;
const HIGHLIGHT_MS = 2500;

/**
 * The part of the catalogue that the products page shows. Answers of the REST
 * API make it; the topic `products` tells what others change. A change of a
 * row that is shown is put in place. What would move rows waits to be asked
 * for (`elsewhere`) while somebody's hands are on them.
 */
class Products {
  view = $state.raw<View | null>(null);
  /** Somebody waits for an answer. */
  loading = $state(false);
  failed = $state('');
  /** How many changes elsewhere the view does not show. */
  elsewhere = $state(0);
  /** Ids of rows that have just changed by another's hand. */
  highlighted = new SvelteSet<number>();
  /** Grows when many products have changed at once. */
  bulk = $state(0);

  #query = parse('');
  #latest = new Latest();
  #news: News = new Map();
  #soon: ReturnType<typeof setTimeout> | undefined;
  #wanted = new SvelteMap<number, boolean>(); // what the switches say before the server does
  #mine = new Set<number>(); // products that a request of this page changes now

  /** Hears of changes until the function it returns is called. busy tells whether rows must not move now. */
  follow(busy: () => boolean): () => void {
    const off = live.subscribe('products', {
      // Nothing is known of the time before.
      snapshot: () => {
        this.bulk++;
        this.#reloadSoon();
      },
      event: (kind, _at, data) => this.#hear(kind, data as Heard, busy),
      update: () => {},
      refused: () => {}, // the page works without, and each load is true
    });
    return () => {
      off();
      clearTimeout(this.#soon);
      this.#soon = undefined;
      this.#latest.stop();
      this.loading = false;
    };
  }

  /** Shows what a query asks for. */
  async show(query: Query) {
    const from = this.view ?? undefined;
    this.#query = query;
    await this.#load(request(query, from), true);
  }

  /** Asks again. In the background nobody is told that it takes time, or fails. */
  async reload({ background = false } = {}) {
    await this.#load(request(this.#query), !background);
  }

  /** Whether the switch of a product is on. */
  isActive(p: Product): boolean {
    return this.#wanted.get(p.id) ?? p.active;
  }

  /** Moves the switch of a product at once, and back when the server refuses. */
  async setActive(p: Product, active: boolean) {
    const under = this.#wanted.has(p.id);
    this.#wanted.set(p.id, active);
    if (under) return; // the request under way is followed by another
    let now = p;
    try {
      for (let wanted = active; wanted !== now.active; wanted = this.#wanted.get(p.id)!) now = await this.change(now, { active: wanted });
    } catch (e) {
      const wanted = this.#wanted.get(p.id)!;
      now = currentOf(e) ?? now;
      if (now.active !== wanted) {
        const again = () => void this.setActive(this.#shown(p.id) ?? now, wanted);
        toasts.add('error', `${p.sku} was not changed. ${refusal(e)}`, { label: 'Try again', run: again });
      }
    }
    this.#wanted.delete(p.id);
  }

  /** Adds a product. It throws ApiError. */
  async create(fields: Fields, key: string): Promise<Product> {
    const p = await api<Product>('POST', '/api/products', { body: fields, headers: { 'Idempotency-Key': key } });
    void this.reload({ background: true });
    return p;
  }

  /** Changes fields of the version of a product that is known here. It throws ApiError. */
  async change(p: Product, fields: Partial<Fields>): Promise<Product> {
    this.#mine.add(p.id);
    try {
      const now = await api<Product>('PATCH', path(p), { body: fields, headers: { 'If-Match': `"${p.version}"` } });
      this.#take(now);
      return now;
    } catch (e) {
      const now = currentOf(e);
      if (now) this.#take(now);
      if (isGone(e) && this.view) this.view = strike(this.view, p.id);
      throw e;
    } finally {
      this.#mine.delete(p.id);
    }
  }

  /** Deletes a product. It throws ApiError. */
  async remove(p: Product) {
    this.#mine.add(p.id);
    try {
      await api('DELETE', path(p));
    } catch (e) {
      if (!isGone(e)) throw e; // else somebody was faster
    } finally {
      this.#mine.delete(p.id);
    }
    if (this.view) this.view = drop(this.view, p.id);
    await this.reload({ background: true });
  }

  /** Deletes every product and returns how many they were. It throws ApiError. */
  async removeAll(): Promise<number> {
    const { deleted } = await api<{ deleted: number }>('DELETE', '/api/products?confirm=delete-all');
    this.#emptied();
    return deleted;
  }

  #hear(kind: string, data: Heard, busy: () => boolean) {
    switch (kind) {
      case 'product.created':
        if (this.#shown(data.product.id)) break;
        if (busy() && this.view?.items.length) this.elsewhere++;
        else this.#reloadSoon();
        break;
      case 'product.updated':
        this.#note(data.product.id, data.product);
        this.#take(data.product);
        break;
      case 'product.deleted':
        this.#note(data.product.id, 'deleted');
        if (this.view && !this.#mine.has(data.product.id)) this.view = strike(this.view, data.product.id);
        break;
      case 'products.changed':
        this.bulk++;
        this.elsewhere += data.created + data.updated;
        if (!this.view?.items.length) this.#reloadSoon();
        break;
      case 'products.deleted_all':
        this.#emptied();
        break;
    }
  }

  async #load(path: string, awaited: boolean) {
    const query = this.#query;
    this.#news = new Map();
    this.elsewhere = 0;
    if (awaited) {
      this.loading = true;
      this.failed = '';
    }
    try {
      const page = await this.#latest.run((signal) => api<ProductPage>('GET', path, { signal }));
      if (!page) return; // a newer request goes on from here
      const before = this.view;
      this.view = settle(query, page, this.#news);
      this.failed = '';
      if (before?.query === query) this.#highlight(differences(before, this.view));
    } catch (e) {
      if (this.loading || !this.view) this.failed = messageOf(e);
    }
    this.loading = false;
  }

  /** Loads in a moment, once for whatever else happens until then, and after a request that runs. */
  #reloadSoon() {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      if (this.#latest.busy) this.#reloadSoon();
      else void this.reload({ background: true });
    }, SOON_MS);
  }

  #note(id: number, what: Product | 'deleted') {
    if (this.#latest.busy && this.#news.get(id) !== 'deleted') this.#news.set(id, what);
  }

  #take(p: Product) {
    if (!this.view) return;
    const before = this.view;
    this.view = take(before, p);
    if (this.view !== before && !this.#mine.has(p.id)) this.#highlight([p.id]);
  }

  #emptied() {
    this.view = empty(this.#query);
    this.elsewhere = 0;
    this.bulk++;
    if (this.#latest.busy) void this.reload(); // the answer under way may be older
  }

  #highlight(ids: number[]) {
    for (const id of ids) this.highlighted.add(id);
    setTimeout(() => ids.forEach((id) => this.highlighted.delete(id)), HIGHLIGHT_MS);
  }

  #shown(id: number) {
    return this.view?.items.find((p) => p.id === id);
  }
}

type Heard = { product: Product; created: number; updated: number };

const path = (p: Product) => `/api/products/${p.id}`;

const isGone = (e: unknown) => e instanceof ApiError && e.status === 404;

/** The product as it is now, of a refusal because it is newer than what was to be changed. */
export function currentOf(e: unknown): Product | null {
  return e instanceof ApiError && e.status === 412 ? ((e.problem.current as Product | undefined) ?? null) : null;
}

export const products = new Products();
