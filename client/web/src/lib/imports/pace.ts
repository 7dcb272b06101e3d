import type { Import, Phase } from './types.ts';

/** What an update said about speed, and when it was seen (ms). */
export type Sample = { at: number; phase: Phase; rate: number; bytes: number };

const LONGEST = 600;

/** Adds a look at an import. Old samples thin out, so that a long import keeps its whole curve. */
export function record(samples: Sample[], im: Import, at: number): Sample[] {
  const { phase, rows_per_s: rate, bytes } = im.progress;
  const kept = samples.length < LONGEST ? samples : samples.filter((_, i) => i % 2 === 0);
  return [...kept, { at, phase, rate, bytes }];
}

/** The rows a second of the work that counts: writing, or reading when nothing is written. */
export function rates(samples: Sample[], dryRun: boolean): Sample[] {
  return samples.filter((s) => (dryRun ? s.phase !== 'uploading' && s.rate > 0 : s.phase === 'writing'));
}

/** Milliseconds until what runs is done, or 0 while nobody can know. */
export function timeLeft(im: Import, samples: Sample[]): number {
  const p = im.progress;
  if (p.phase === 'writing' && p.rows_per_s > 0) return ((p.rows_total - p.rows_done) / p.rows_per_s) * 1000;
  const last = samples.at(-1);
  if (im.state !== 'uploading' || !last) return 0;
  const first = samples.find((s) => s.at > last.at - 10_000) ?? last;
  const sent = last.bytes - first.bytes;
  return sent > 0 ? ((p.bytes_total - last.bytes) / sent) * (last.at - first.at) : 0;
}
