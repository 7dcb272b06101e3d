import { expect, test } from '@playwright/test';
import type { Attempt, Delivery, Webhook } from './types.ts';
import { causeOf, families, headerText, outcome, pretty, readHeaders, standing, success, toggle } from './words.ts';

const attempt = (a: Partial<Attempt>): Attempt => ({ at: '', n: 1, ok: false, status: 0, error: '', ms: 0, remote_ip: '', response: '', ...a });

test('an attempt is told in short, and what to do about it', () => {
  expect(outcome(attempt({ ok: true, status: 204, ms: 84 }))).toBe('204 · 84 ms');
  expect(outcome(attempt({ error: 'timeout', ms: 900 }))).toBe('timed out · 900 ms');
  expect(outcome(attempt({ error: 'something new', ms: 1 }))).toBe('failed · 1 ms');
  expect(causeOf(attempt({ ok: true }))).toBe('');
  expect(causeOf(attempt({ error: 'dns' }))).toContain('spelling');
  expect(causeOf(attempt({ error: 'something new' }))).toContain('log');
});

test('a delivery that has failed before is being retried', () => {
  const d = { state: 'pending', tries: 0 } as Delivery;
  expect(standing(d).word).toBe('Waiting');
  expect(standing({ ...d, tries: 2 }).word).toBe('Retrying');
  expect(standing({ ...d, state: 'exhausted', tries: 10 }).word).toBe('Failed');
});

test('a week is 100 % only when nothing failed', () => {
  const week = (delivered: number, failed: number) => success({ week: { delivered, failed } } as Webhook);
  expect(week(0, 0)).toBe('–');
  expect(week(10, 0)).toBe('100%');
  expect(week(99_999, 1)).toBe('99.9%');
  expect(week(1, 1)).toBe('50.0%');
});

test('a family takes the place of its types, and everything that of all', () => {
  expect([...families(['import.failed', 'import.started', 'product.created']).keys()]).toEqual(['import.*', 'product.*']);
  let filters = toggle([], 'import.failed', true);
  filters = toggle(filters, 'product.created', true);
  expect(filters).toEqual(['import.failed', 'product.created']);
  expect(toggle(filters, 'import.*', true)).toEqual(['import.*', 'product.created']);
  expect(toggle(filters, '*', true)).toEqual(['*']);
  expect(toggle(['*'], 'import.failed', true)).toEqual(['import.failed']);
  expect(toggle(filters, 'import.failed', false)).toEqual(['product.created']);
});

test('headers are written one a line', () => {
  const headers = { Authorization: 'Bearer a:b', 'X-Shop': '1' };
  expect(readHeaders(headerText(headers))).toEqual({ headers, wrong: '' });
  expect(readHeaders('\n  \n')).toEqual({ headers: {}, wrong: '' });
  expect(readHeaders('nonsense').wrong).toContain('nonsense');
});

test('what is no JSON is shown as it is', () => {
  expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
  expect(pretty('<h1>')).toBe('<h1>');
});
