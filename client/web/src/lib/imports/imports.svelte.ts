import { SvelteMap } from 'svelte/reactivity';
import { api, messageOf, type Page } from '../api.ts';
import { plural } from '../format.ts';
import { live } from '../live/live.svelte.ts';
import { router } from '../router.svelte.ts';
import { toasts } from '../toasts.svelte.ts';
import { happening, type Happening } from './feed.ts';
import { fold, foldUpdate } from './fold.ts';
import { record, type Sample } from './pace.ts';
import { ended, type Import, type ImportUpdate } from './types.ts';
import { failureTitle } from './words.ts';

// The server allows 64 topics a connection; nobody watches that many bars.
const MOST_WATCHED = 40;
const FEED_LENGTH = 60;
const PAGE = 50;

/**
 * All imports this tab knows. The topic `imports` tells what changes; each
 * import that runs, or has its page open, is followed on its own topic too,
 * and as long as it is, that topic alone is believed: the two may overtake
 * each other.
 */
class Imports {
  #known = new SvelteMap<string, Import>();
  #samples = new SvelteMap<string, Sample[]>();
  #watched = new Map<string, { off: () => void; synced: boolean }>();
  #pinned = new Map<string, number>(); // how many pages have an import open
  #synced = false; // the topic `imports` has delivered its state

  /** Imports that this page has seen running, so that their cards stay when they end. */
  seenRunning = new SvelteMap<string, true>();
  happenings = $state.raw<Happening[]>([]);
  loading = $state(true);
  loadError = $state('');
  total = $state(0);
  /** Asks for the part of the list that follows; null at its end. */
  next = $state<string | null>(null);

  /** Newest first. */
  list = $derived([...this.#known.values()].sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at) || (a.id < b.id ? 1 : -1)));
  running = $derived(this.list.filter((im) => !ended(im.state)));

  start() {
    live.subscribe('imports', {
      snapshot: (data) => {
        this.#synced = true;
        for (const im of (data.imports as Import[]) ?? []) this.#take(im);
        this.loading = false;
        this.loadError = '';
      },
      event: (kind, at, data) => {
        const im = (data as { import: Import }).import;
        if (kind === 'import.created') this.total++;
        this.#announce(kind, im);
        this.happenings = [happening(kind, at, im), ...this.happenings].slice(0, FEED_LENGTH);
        if (!this.#watched.get(im.id)?.synced) this.#take(im);
        else this.#follow(im);
      },
      update: () => {},
      refused: (_code, message) => {
        if (this.loading) this.loadError = message;
        this.loading = false;
      },
    });
    void this.load();
  }

  get(id: string) {
    return this.#known.get(id);
  }

  samples(id: string): Sample[] {
    return this.#samples.get(id) ?? [];
  }

  /** Loads the newest imports, or with a cursor those that follow. */
  async load(before?: string) {
    this.loadError = '';
    try {
      const query = new URLSearchParams({ limit: String(PAGE), ...(before && { before }) });
      const page = await api<Page<Import>>('GET', `/api/imports?${query}`);
      for (const im of page.items) this.#asked(im);
      this.total = page.total;
      this.next = page.next;
    } catch (e) {
      if (before || this.#known.size) toasts.add('error', `Imports could not be loaded. ${messageOf(e)}`);
      else if (!this.#synced) this.loadError = messageOf(e);
    }
    this.loading = false;
  }

  /** Loads one import. It throws ApiError. */
  async loadOne(id: string) {
    this.#asked(await api<Import>('GET', `/api/imports/${encodeURIComponent(id)}`));
  }

  async cancel(id: string) {
    await this.#act(id, 'cancel');
  }

  async retry(id: string) {
    await this.#act(id, 'retry');
  }

  /** Follows an import on its own topic until the function it returns is called. */
  pin(id: string): () => void {
    this.#pinned.set(id, (this.#pinned.get(id) ?? 0) + 1);
    this.#watch(id);
    return () => {
      const left = this.#pinned.get(id)! - 1;
      if (left) this.#pinned.set(id, left);
      else this.#pinned.delete(id);
      this.#unwatch(id);
    };
  }

  async #act(id: string, verb: 'cancel' | 'retry') {
    try {
      this.#asked(await api<Import>('POST', `/api/imports/${encodeURIComponent(id)}/${verb}`));
    } catch (e) {
      const name = this.get(id)?.filename ?? 'The import';
      toasts.add('error', `${name} was not ${verb === 'cancel' ? 'cancelled' : 'started again'}. ${messageOf(e)}`);
    }
  }

  /** Says how an import ended to somebody who is looking at something else. */
  #announce(kind: string, im: Import) {
    const page = `/imports/${im.id}`;
    if (router.path === '/' || router.path === page) return;
    const look = { label: 'Details', run: () => router.go(page) };
    if (kind === 'import.completed') toasts.add('ok', `${im.filename} was ${im.dry_run ? 'checked' : 'imported'}: ${plural(im.counts.rows, 'row')}.`, look);
    if (kind === 'import.failed') toasts.add('error', `${im.filename} failed. ${failureTitle(im.error?.code ?? '')}.`, look);
  }

  /** Takes an answer of the REST API: older than what the socket tells, if that is up. */
  #asked(im: Import) {
    const known = this.#known.has(im.id) && this.#synced && live.status.kind === 'live';
    if (!known) this.#take(im);
  }

  #take(im: Import) {
    this.#known.set(im.id, fold(this.#known.get(im.id), im));
    this.#follow(im);
  }

  #follow(im: Import) {
    if (ended(im.state)) {
      this.#unwatch(im.id);
    } else {
      this.seenRunning.set(im.id, true);
      if (this.#watched.size < MOST_WATCHED) this.#watch(im.id);
    }
  }

  #watch(id: string) {
    if (this.#watched.has(id)) return;
    const watch = { off: () => {}, synced: false };
    this.#watched.set(id, watch);
    watch.off = live.subscribe(`import:${id}`, {
      snapshot: (data) => {
        watch.synced = true;
        this.#take(data.import as Import);
      },
      event: (_kind, _at, data) => this.#take((data as { import: Import }).import),
      update: (data) => this.#update(id, data as ImportUpdate),
      refused: () => this.#watched.delete(id), // there is none: the page hears it from the REST API
    });
  }

  #unwatch(id: string) {
    if (this.#pinned.has(id)) return;
    this.#watched.get(id)?.off();
    this.#watched.delete(id);
  }

  #update(id: string, update: ImportUpdate) {
    const old = this.#known.get(id);
    if (!old) return;
    const im = foldUpdate(old, update);
    this.#known.set(id, im);
    this.#samples.set(id, record(this.samples(id), im, Date.now()));
  }
}

export const imports = new Imports();
