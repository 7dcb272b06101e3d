import { num } from '../format.ts';
import type { Attempt, Delivery, Webhook } from './types.ts';

/** What each class of failure means, and what to do. */
const CAUSES: Record<string, string> = {
  status: 'The receiver answered, but not with success (2xx). Its own log says why.',
  redirect: 'The receiver answered with a redirect, which is never followed. Enter the address it leads to.',
  timeout: 'No whole answer came in time. Let the receiver answer first and work afterwards, or allow it more time.',
  dns: 'The host has no address. Check the spelling of the URL.',
  refused: 'Nobody listens at that address. Check that the receiver runs, and the port.',
  reset: 'The connection was cut before an answer came.',
  tls: 'There was no trusted TLS connection. Check the certificate of the receiver.',
  blocked: 'The address is private or reserved. Webhooks go to public addresses only.',
  bad_reply: 'The answer was no proper HTTP.',
  other: 'The request failed. The log of the server says more.',
};

export const causeOf = (a: Attempt) => (a.ok ? '' : (CAUSES[a.error] ?? CAUSES.other!));

const SHORT: Record<string, string> = {
  redirect: 'redirect', timeout: 'timed out', dns: 'no such host', refused: 'refused', reset: 'cut off', tls: 'no TLS', blocked: 'blocked', bad_reply: 'no HTTP', other: 'failed',
};

/** "200 · 84 ms", "timed out · 15,000 ms" */
export function outcome(a: Attempt): string {
  return `${a.status || (SHORT[a.error] ?? 'failed')} · ${num(a.ms)} ms`;
}

export const TONE = { active: 'ok', paused: '', disabled: 'bad' } as const;

export const STATES: Record<Webhook['state'], string> = { active: 'On', paused: 'Off', disabled: 'Disabled' };

/** What became of a delivery, in a word, and how it looks. */
export function standing(d: Delivery): { word: string; tone: string } {
  switch (d.state) {
    case 'delivered':
      return { word: 'Delivered', tone: 'ok' };
    case 'exhausted':
      return { word: 'Failed', tone: 'bad' };
    case 'cancelled':
      return { word: 'Cancelled', tone: '' };
  }
  return d.tries ? { word: 'Retrying', tone: 'warn' } : { word: 'Waiting', tone: 'info' };
}

/** "98.2 %" of the deliveries of a week, or a dash. */
export function success(w: Webhook): string {
  const all = w.week.delivered + w.week.failed;
  if (!all) return '–';
  const share = (100 * w.week.delivered) / all;
  return `${share === 100 ? '100' : Math.min(share, 99.9).toFixed(1)}%`;
}

/** The families of types of events: "import.*" of "import.failed". */
export function families(types: string[]): Map<string, string[]> {
  const all = new Map<string, string[]>();
  for (const type of types) {
    const family = type.slice(0, type.indexOf('.')) + '.*';
    all.set(family, [...(all.get(family) ?? []), type]);
  }
  return all;
}

/** Turns a filter on or off; one that stands for more takes the place of those it has in it. */
export function toggle(filters: string[], filter: string, on: boolean): string[] {
  const rest = filters.filter((f) => f !== filter);
  if (!on) return rest;
  if (filter === '*') return ['*'];
  const family = filter.endsWith('.*') ? filter.slice(0, -1) : null;
  return [...rest.filter((f) => f !== '*' && !(family && f.startsWith(family))), filter].sort();
}

/** Headers as a person writes them, one a line. */
export const headerText = (headers: Record<string, string>) => Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join('\n');

/** Reads such lines; one without a colon is wrong. */
export function readHeaders(text: string): { headers: Record<string, string>; wrong: string } {
  const headers: Record<string, string> = {};
  for (const line of text.split('\n')) {
    if (!line.trim()) continue;
    const colon = line.indexOf(':');
    if (colon < 1) return { headers, wrong: `“${line.trim()}” is no header. Write one a line, as in Authorization: Bearer abc.` };
    headers[line.slice(0, colon).trim()] = line.slice(colon + 1).trim();
  }
  return { headers, wrong: '' };
}

/** JSON to look at; anything else as it is. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
