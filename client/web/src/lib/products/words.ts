import { ApiError, messageOf } from '../api.ts';
import { num, plural } from '../format.ts';
import { PAGE_SIZE } from './query.ts';
import type { View } from './view.ts';

export const LABELS = { sku: 'SKU', name: 'Name', description: 'Description', active: 'Active' } as const;

/** "1,204 products match" */
export function countText(view: Pick<View, 'total' | 'totalIsFloor'>, filtered: boolean): string {
  const count = (view.totalIsFloor ? 'More than ' : '') + plural(view.total, 'product');
  if (!filtered) return count;
  return count + (view.total === 1 && !view.totalIsFloor ? ' matches' : ' match');
}

/** "26–50 of 1,204" */
export function rangeText(view: Pick<View, 'total' | 'totalIsFloor' | 'items'>, page: number): string {
  if (!view.items.length) return '';
  const from = (page - 1) * PAGE_SIZE + 1;
  const to = from + view.items.length - 1;
  return `${num(from)}–${num(to)} of ${view.totalIsFloor ? 'more than ' : ''}${num(Math.max(view.total, to))}`;
}

// A table needs no more of a description than fits: it may be a megabyte.
const CLIPPED = 300;
export const clip = (text: string) => (text.length > CLIPPED ? text.slice(0, CLIPPED) + '…' : text);

/** What did not happen, and why; without an answer of our server nobody knows whether it did. */
export function undone(what: string, e: unknown): string {
  return e instanceof ApiError && e.code ? `${what} ${refusal(e)}` : refusal(e);
}

/** Why a change of one product was refused, when it is not its values. */
export function refusal(e: unknown): string {
  if (e instanceof ApiError && e.status === 412) return 'Somebody else changed it meanwhile.';
  if (e instanceof ApiError && e.status === 404) return 'It was deleted meanwhile.';
  return messageOf(e);
}
