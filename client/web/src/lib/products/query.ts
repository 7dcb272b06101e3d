// What is asked of the catalogue. The address of the page holds all of it.

export const PAGE_SIZE = 25;

export const TEXTS = ['q', 'sku', 'name', 'description'] as const;
export type Text = (typeof TEXTS)[number];

const COLUMNS = ['id', 'sku', 'name', 'updated'] as const;
export type Column = (typeof COLUMNS)[number];
export type Sort = Column | `-${Column}`; // a minus: descending

export type Query = Record<Text, string> & { active: '' | 'true' | 'false'; sort: Sort; page: number };

const SORT: Sort = 'sku';
const LAST_PAGE = 1e9; // the API takes no larger number

/** Reads the query of an address. What it does not understand counts as not said. */
export function parse(search: string): Query {
  const p = new URLSearchParams(search);
  const text = (name: Text) => (p.get(name) ?? '').trim();
  const active = p.get('active');
  const page = Number(p.get('page') ?? 1);
  return {
    q: text('q'), sku: text('sku'), name: text('name'), description: text('description'),
    active: active === 'true' || active === 'false' ? active : '',
    sort: isSort(p.get('sort')) ? (p.get('sort') as Sort) : SORT,
    page: Number.isInteger(page) && page >= 1 && page <= LAST_PAGE ? page : 1,
  };
}

/** The address of a query; what goes without saying is left out. */
export function href(query: Query): string {
  const p = filters(query);
  if (query.sort !== SORT) p.set('sort', query.sort);
  if (query.page > 1) p.set('page', String(query.page));
  const search = p.toString();
  return search ? `/products?${search}` : '/products';
}

/** Whether the query leaves products out. */
export const isFiltered = (query: Query) => filters(query).size > 0;

/** The same order without filters. */
export const unfiltered = (query: Query): Query => ({ ...parse(''), sort: query.sort });

/** Where somebody is: an answer whose cursors lead on from it. */
export type Place = { query: Query; next: string | null; prev: string | null };

/**
 * The request for a query. To a neighbour of the page that is shown it goes by
 * cursor: that costs the same on page 2 and on page 20,000, and skips nothing
 * when rows are added meanwhile.
 */
export function request(query: Query, from?: Place): string {
  const p = filters(query);
  p.set('sort', query.sort);
  p.set('limit', String(PAGE_SIZE));
  const cursor = from && query.page > 1 && href({ ...from.query, page: query.page }) === href(query) ? step(query.page - from.query.page, from) : null;
  if (cursor) p.set('cursor', cursor);
  else p.set('page', String(query.page));
  return `/api/products?${p}`;
}

/** The order after a click on a column's head: times begin with the newest. */
export function sortBy(sort: Sort, column: Column): Sort {
  if (sort === column) return `-${column}`;
  if (sort === `-${column}`) return column;
  return column === 'updated' ? '-updated' : column;
}

export function ariaSort(sort: Sort, column: Column): 'ascending' | 'descending' | undefined {
  if (sort === column) return 'ascending';
  return sort === `-${column}` ? 'descending' : undefined;
}

/** Numbers to click on: the first, the last and those around page; 0 is a gap. */
export function pageNumbers(page: number, last: number): number[] {
  const near = [1, page - 1, page, page + 1, last].filter((n, i, all) => n >= 1 && n <= last && all.indexOf(n) === i).sort((a, b) => a - b);
  return near.flatMap((n, i) => {
    const missing = n - (near[i - 1] ?? 0) - 1;
    return missing > 1 ? [0, n] : missing === 1 ? [n - 1, n] : [n];
  });
}

function filters(query: Query): URLSearchParams {
  const p = new URLSearchParams();
  for (const name of [...TEXTS, 'active'] as const) {
    if (query[name]) p.set(name, query[name]);
  }
  return p;
}

function step(by: number, from: Place): string | null {
  if (by === 1) return from.next;
  return by === -1 ? from.prev : null;
}

const isSort = (s: string | null) => s !== null && (COLUMNS as readonly string[]).includes(s.replace(/^-/, ''));
