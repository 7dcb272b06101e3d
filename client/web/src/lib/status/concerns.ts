import { ago, bytes, duration, plural } from '../format.ts';
import type { Status } from './types.ts';

// From here on somebody should look. Prometheus has rules of its own, which
// also see what was before (deploy/alerts.yml).
const QUEUE_S = 60;
const OVERDUE_S = 300;
const DISK = 0.1;

/** What somebody should look at, a sentence each. */
export function concerns(s: Status, now: number): string[] {
  const found: string[] = [];
  for (const m of s.machines) {
    if (m.alive) continue;
    const next = m.imports ? ` ${m.imports === 1 ? 'Its import goes' : `Its ${m.imports} imports go`} on elsewhere within 15 s, if another machine runs.` : '';
    found.push(`${m.name} was last seen ${ago(m.seen_at, now)} and did not say goodbye.${next}`);
  }
  if (s.queued_for_s >= QUEUE_S) {
    found.push(`The first import in the queue has waited ${duration(s.queued_for_s * 1000)}: all places are taken, or no machine takes imports.`);
  }
  const versions = [...new Set(s.machines.filter((m) => m.alive).map((m) => m.version))].sort();
  if (versions.length > 1) found.push(`Machines run different versions: ${versions.join(', ')}. A deployment is under way, or half done.`);
  if (s.disk.total > 0 && s.disk.free < s.disk.total * DISK) {
    found.push(`The disk for uploads has ${bytes(s.disk.free)} left of ${bytes(s.disk.total)}. When it is full, uploads are refused.`);
  }
  if (s.webhooks.overdue_for_s >= OVERDUE_S) {
    found.push(`${plural(s.webhooks.pending, 'delivery', 'deliveries')} to webhooks wait, the first for ${duration(s.webhooks.overdue_for_s * 1000)} too long.`);
  }
  return found;
}
