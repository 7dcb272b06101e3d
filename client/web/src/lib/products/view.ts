import type { Query } from './query.ts';
import type { Product, ProductPage } from './types.ts';

/** What is shown of the catalogue: an answer, and what was heard of its products since. */
export type View = {
  query: Query;
  items: Product[];
  /** Those of items that exist no more. They keep their place until the next answer. */
  deleted: ReadonlySet<number>;
  total: number;
  totalIsFloor: boolean;
  next: string | null;
  prev: string | null;
  /** The whole catalogue was deleted, so that no filter is to blame. */
  emptied: boolean;
};

/** What was heard while an answer was under way: it may be older, or newer. */
export type News = Map<number, Product | 'deleted'>;

/** Makes a view of an answer, as new as anything heard since it was asked for. */
export function settle(query: Query, page: ProductPage, news: News): View {
  const newer = (p: Product) => {
    const n = news.get(p.id);
    return n && n !== 'deleted' && n.version > p.version ? n : p;
  };
  return {
    query,
    items: page.items.map(newer),
    deleted: new Set(page.items.filter((p) => news.get(p.id) === 'deleted').map((p) => p.id)),
    total: page.total, totalIsFloor: page.total_is_floor, next: page.next, prev: page.prev,
    emptied: false,
  };
}

/** Takes a look at one product. A view without an older one of it is returned as it is. */
export function take(view: View, product: Product): View {
  if (!view.items.some((p) => p.id === product.id && p.version < product.version)) return view;
  return { ...view, items: view.items.map((p) => (p.id === product.id ? product : p)) };
}

/** Marks a product that was deleted elsewhere. */
export function strike(view: View, id: number): View {
  if (view.deleted.has(id) || !view.items.some((p) => p.id === id)) return view;
  return { ...view, deleted: new Set(view.deleted).add(id), total: Math.max(0, view.total - 1) };
}

/** Takes a product out that was deleted here. */
export function drop(view: View, id: number): View {
  const struck = strike(view, id);
  return { ...struck, items: struck.items.filter((p) => p.id !== id) };
}

/** The view of a catalogue that was deleted as a whole. */
export function empty(query: Query): View {
  return { query, items: [], deleted: new Set(), total: 0, totalIsFloor: false, next: null, prev: null, emptied: true };
}

/** The products that are new or newer than in an earlier view of the same query. */
export function differences(before: View, now: View): number[] {
  const known = new Map(before.items.map((p) => [p.id, p.version]));
  return now.items.filter((p) => (known.get(p.id) ?? 0) < p.version).map((p) => p.id);
}
