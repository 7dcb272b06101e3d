import { expect, test } from '@playwright/test';
import { ApiError, problem } from '../api.ts';
import { changes, clashes, fieldsOf, rebase } from './edit.ts';
import { ariaSort, href, isFiltered, pageNumbers, parse, request, sortBy, unfiltered } from './query.ts';
import type { Product, ProductPage } from './types.ts';
import { differences, drop, empty, settle, strike, take, type News } from './view.ts';
import { clip, countText, rangeText, undone } from './words.ts';

const product = (id: number, over: Partial<Product> = {}): Product => ({
  id, sku: `LMP-${id}`, name: `Lamp ${id}`, description: '', active: true, version: 1,
  created_at: '2026-01-02T03:04:05Z', updated_at: '2026-01-02T03:04:05Z', ...over,
});
const page = (items: Product[], over: Partial<ProductPage> = {}): ProductPage => ({ items, next: null, prev: null, total: items.length, total_is_floor: false, ...over });
const query = parse('');
const view = (...items: Product[]) => settle(query, page(items), new Map());

test('an address and its query say the same', () => {
  for (const address of ['/products', '/products?q=lamp+%26+desk', '/products?sku=a&name=b&description=c&active=false&sort=-updated&page=7', '/products?name=%E7%81%AF']) {
    expect(href(parse(new URL(address, 'http://x').search))).toBe(address);
  }
  expect(parse('?q=+lamp++&active=true')).toMatchObject({ q: 'lamp', active: 'true', sort: 'sku', page: 1 });
});

test('what an address says that means nothing is left out', () => {
  for (const search of ['?page=0', '?page=-1', '?page=1.5', '?page=x', '?page=', '?page=1e10', '?sort=price', '?sort=--sku', '?active=maybe', '?colour=red', '?q=+']) {
    expect.soft(href(parse(search)), search).toBe('/products');
  }
});

test('filters are not the order, and clearing them keeps it', () => {
  expect(isFiltered(parse('?sort=-name&page=3'))).toBe(false);
  expect(isFiltered(parse('?active=false'))).toBe(true);
  expect(href(unfiltered(parse('?q=a&active=true&sort=-name&page=3')))).toBe('/products?sort=-name');
});

test('a request says everything, and goes to a neighbour by cursor', () => {
  expect(request(parse('?q=a%25b'))).toBe('/api/products?q=a%25b&sort=sku&limit=25&page=1');
  const from = { query: parse('?q=a&page=3'), next: 'N', prev: 'P' };
  expect(request(parse('?q=a&page=4'), from)).toBe('/api/products?q=a&sort=sku&limit=25&cursor=N');
  expect(request(parse('?q=a&page=2'), from)).toBe('/api/products?q=a&sort=sku&limit=25&cursor=P');
  for (const search of ['?q=a&page=3', '?q=a&page=5', '?q=a', '?q=b&page=4', '?q=a&page=4&sort=name', '?q=a&page=4&active=true']) {
    expect.soft(request(parse(search), from), search).not.toContain('cursor');
  }
  expect(request(parse('?q=a&page=4'), { ...from, next: null })).toContain('page=4');
  expect(request(parse('?q=a'), { ...from, query: parse('?q=a&page=2') })).toContain('page=1'); // a page that is short by the rows deleted before it
});

test('a column is sorted by, and turned round', () => {
  expect(sortBy('sku', 'name')).toBe('name');
  expect(sortBy('name', 'name')).toBe('-name');
  expect(sortBy('-name', 'name')).toBe('name');
  expect(sortBy('sku', 'updated')).toBe('-updated');
  expect([ariaSort('name', 'name'), ariaSort('-name', 'name'), ariaSort('sku', 'name')]).toEqual(['ascending', 'descending', undefined]);
});

test('page numbers name the ends and the neighbours, and no gap hides a single page', () => {
  expect(pageNumbers(1, 1)).toEqual([1]);
  expect(pageNumbers(1, 3)).toEqual([1, 2, 3]);
  expect(pageNumbers(1, 20_000)).toEqual([1, 2, 0, 20_000]);
  expect(pageNumbers(4, 20)).toEqual([1, 2, 3, 4, 5, 0, 20]);
  expect(pageNumbers(10, 20)).toEqual([1, 0, 9, 10, 11, 0, 20]);
  expect(pageNumbers(18, 20)).toEqual([1, 0, 17, 18, 19, 20]);
  expect(pageNumbers(20, 20)).toEqual([1, 0, 19, 20]);
});

test('a row takes newer looks only', () => {
  const before = view(product(1, { version: 3, name: 'Now' }), product(2));
  expect(take(before, product(1, { version: 4, name: 'Newer' })).items.map((p) => p.name)).toEqual(['Newer', 'Lamp 2']);
  expect(take(before, product(1, { version: 3, name: 'Again' }))).toBe(before);
  expect(take(before, product(1, { version: 2, name: 'Late' }))).toBe(before);
  expect(take(before, product(9, { version: 9 }))).toBe(before);
});

test('an answer does not undo what was heard while it was under way', () => {
  const news: News = new Map<number, Product | 'deleted'>([[1, product(1, { version: 5, name: 'Heard' })], [2, 'deleted'], [3, product(3, { version: 1, name: 'Older' })], [9, 'deleted']]);
  const now = settle(query, page([product(1, { version: 4 }), product(2), product(3, { version: 2 })], { total: 90, total_is_floor: true }), news);
  expect(now.items.map((p) => p.name)).toEqual(['Heard', 'Lamp 2', 'Lamp 3']);
  expect([...now.deleted]).toEqual([2]);
  expect(now).toMatchObject({ total: 90, totalIsFloor: true, emptied: false });
});

test('a product that is deleted elsewhere keeps its place, one deleted here goes', () => {
  const before = view(product(1), product(2), product(3));
  const struck = strike(before, 2);
  expect(struck.items).toHaveLength(3);
  expect([...struck.deleted]).toEqual([2]);
  expect(struck.total).toBe(2);
  expect(strike(struck, 2)).toBe(struck); // heard twice
  expect(strike(struck, 9)).toBe(struck); // not shown: nobody knows whether it matched
  const gone = drop(before, 2);
  expect(gone.items.map((p) => p.id)).toEqual([1, 3]);
  expect(gone.total).toBe(2);
  expect(before.items).toHaveLength(3);
});

test('rows that are new or newer are told from the others', () => {
  expect(differences(view(product(1), product(2)), view(product(1), product(2, { version: 2 }), product(3)))).toEqual([2, 3]);
  expect(differences(view(product(1)), view())).toEqual([]);
});

test('an emptied catalogue is no matter of filters', () => {
  expect(empty(parse('?q=a'))).toMatchObject({ items: [], total: 0, emptied: true });
});

test('only what was changed is sent', () => {
  const base = fieldsOf(product(1));
  expect(changes(base, base)).toEqual({});
  expect(changes({ ...base, name: 'New', active: false }, base)).toEqual({ name: 'New', active: false });
  expect(changes({ ...base, name: '' }, base)).toEqual({ name: '' });
});

test('a refused form shows what others changed, and keeps what was typed', () => {
  const base = fieldsOf(product(1, { description: 'old' }));
  const mine = { ...base, name: 'Mine', active: false };
  const now = { ...base, name: 'Theirs', description: 'new', active: false };
  expect(clashes(mine, base, now)).toEqual([
    { field: 'name', theirs: 'Theirs', mine: 'Mine', touched: true },
    { field: 'description', theirs: 'new', mine: 'old', touched: false },
    { field: 'active', theirs: false, mine: false, touched: false }, // both the same
  ]);
  expect(clashes(mine, base, base)).toEqual([]);
  expect(rebase(mine, base, now)).toEqual({ sku: 'LMP-1', name: 'Mine', description: 'new', active: false });
});

test('words for how many', () => {
  const v = (total: number, totalIsFloor = false) => ({ total, totalIsFloor, items: [product(1), product(2)] });
  expect([countText(v(1), false), countText(v(1204), false), countText(v(1), true), countText(v(0), true)]).toEqual(['1 product', '1,204 products', '1 product matches', '0 products match']);
  expect([countText(v(10_000, true), true), countText(v(1, true), true)]).toEqual(['More than 10,000 products match', 'More than 1 product match']);
  expect([rangeText(v(52), 2), rangeText(v(10_000, true), 1), rangeText(v(1), 1)]).toEqual(['26–27 of 52', '1–2 of more than 10,000', '1–2 of 2']);
  expect(rangeText({ ...v(0), items: [] }, 1)).toBe('');
  expect([clip('short'), clip('x'.repeat(400)).length]).toEqual(['short', 301]);
});

test('nothing is claimed of a request that had no answer', () => {
  expect(undone('Nothing was saved.', problem(503, '{"detail":"The database is away.","code":"unavailable"}'))).toBe('Nothing was saved. The database is away.');
  expect(undone('Nothing was saved.', problem(404, '{"detail":"There is no such product.","code":"not_found"}'))).toBe('Nothing was saved. It was deleted meanwhile.');
  expect(undone('Nothing was saved.', problem(502, '<html>Bad Gateway</html>'))).toBe('The server answered 502. Try again in a moment.');
  expect(undone('Nothing was saved.', new ApiError('The server cannot be reached.', 0))).toBe('The server cannot be reached.');
});

test('a problem tells what is wrong with each field', () => {
  expect(problem(422, '{"detail":"x","code":"invalid","errors":[{"pointer":"/sku","detail":"A"},{"pointer":"/name","detail":"B"}]}').fields).toEqual({ sku: 'A', name: 'B' });
  expect(problem(500, 'null').fields).toEqual({});
});
