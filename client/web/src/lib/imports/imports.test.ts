import { expect, test } from '@playwright/test';
import { approx, bytes, compact, duration } from '../format.ts';
import { feed, happening, sentence, timeline } from './feed.ts';
import { fold, foldUpdate } from './fold.ts';
import { rates, record, timeLeft, type Sample } from './pace.ts';
import { stagesOf } from './stages.ts';
import type { Import, Progress } from './types.ts';
import { standing } from './words.ts';

function makeImport(changes: Partial<Import> = {}, progress: Partial<Progress> = {}): Import {
  return {
    id: 'i', filename: 'a.csv', size: 1000, state: 'writing', dry_run: false, resumable: true,
    counts: { rows: 100, created: 0, updated: 0, unchanged: 0, duplicates: 0, rejected: 0 },
    encoding: 'utf-8', delimiter: ',', mapping: {}, error: null, attempts: 1,
    created_at: '2026-01-02T03:04:05Z', started_at: null, finished_at: null,
    ...changes,
    progress: {
      phase: 'writing', bytes: 1000, bytes_total: 1000, bytes_scanned: 1000, rows_scanned: 100, rows_done: 50, rows_total: 100,
      rows_per_s: 10, percent: 65, notice: '', ...progress,
    },
  };
}
const statuses = (im: Import) => stagesOf(im).map((s) => s.status).join(' ');

test('nothing shown falls', () => {
  const now = makeImport();
  const late = makeImport({}, { percent: 40, rows_done: 20, rows_per_s: 3 });
  expect(fold(now, late).progress).toMatchObject({ percent: 65, rows_done: 50, rows_per_s: 3 });
  expect(fold(undefined, late).progress.percent).toBe(40);
  const next = foldUpdate(now, { state: 'writing', counts: { ...now.counts, created: 60 }, progress: { ...now.progress, percent: 70, rows_done: 60 } });
  expect(next).toMatchObject({ filename: 'a.csv', counts: { created: 60 }, progress: { percent: 70, rows_done: 60 } });
});

test('another attempt scans again, yet the percentage stays', () => {
  const again = fold(makeImport(), makeImport({ attempts: 2 }, { phase: 'parsing', bytes_scanned: 10, rows_scanned: 1, percent: 15 }));
  expect(again.progress).toMatchObject({ bytes_scanned: 10, rows_scanned: 1, percent: 65 });
});

test('stages of an import from upload to end', () => {
  const up = { bytes: 400, bytes_scanned: 300, rows_scanned: 30, rows_done: 0, rows_total: 0 };
  expect(statuses(makeImport({ state: 'uploading' }, { ...up, phase: 'uploading', bytes_scanned: 0, rows_scanned: 0 }))).toBe('active waiting waiting waiting waiting');
  expect(statuses(makeImport({ state: 'uploading' }, { ...up, phase: 'uploading' }))).toBe('active active active waiting waiting');
  expect(statuses(makeImport({ state: 'scanning' }, { ...up, bytes: 1000, phase: 'parsing' }))).toBe('done active active waiting waiting');
  expect(statuses(makeImport({ state: 'scanning' }, { ...up, bytes: 1000, bytes_scanned: 1000, phase: 'validating' }))).toBe('done done active waiting waiting');
  expect(statuses(makeImport())).toBe('done done done active waiting');
  expect(statuses(makeImport({ state: 'completed' }, { phase: 'complete' }))).toBe('done done done done done');
  expect(statuses(makeImport({ state: 'completed', dry_run: true }, { phase: 'complete' }))).toBe('done done done skipped done');
});

test('stages of an import that ended early', () => {
  expect(statuses(makeImport({ state: 'failed' }))).toBe('done done done failed waiting');
  expect(statuses(makeImport({ state: 'cancelled' }))).toBe('done done done waiting waiting');
  const unread = { phase: 'parsing', bytes_scanned: 0, rows_scanned: 0, rows_done: 0, rows_total: 0 } as const;
  expect(statuses(makeImport({ state: 'failed' }, unread))).toBe('done failed waiting waiting waiting');
});

test('a stage tells how far it is', () => {
  const [upload, parse, , write] = stagesOf(makeImport({ state: 'uploading' }, { phase: 'uploading', bytes: 250, bytes_scanned: 100, rows_total: 0, rows_done: 0 }));
  expect(upload).toMatchObject({ ratio: 0.25, detail: '250 B of 1 kB' });
  expect(parse).toMatchObject({ ratio: 0.1, detail: '100 rows' });
  expect(write).toMatchObject({ ratio: 0, detail: 'Waiting' });
});

test('the word for a state is that of its phase while it runs', () => {
  expect(standing(makeImport({}, { phase: 'validating' })).word).toBe('Validating');
  expect(standing(makeImport({ state: 'queued' })).word).toBe('Queued');
  expect(standing(makeImport({ state: 'completed', dry_run: true })).word).toBe('Checked');
});

test('time left: by rows when writing, by bytes when uploading, else unknown', () => {
  expect(timeLeft(makeImport(), [])).toBe(5000);
  const uploading = makeImport({ state: 'uploading' }, { phase: 'uploading', bytes: 200 });
  const samples: Sample[] = [{ at: 1000, phase: 'uploading', rate: 0, bytes: 100 }, { at: 2000, phase: 'uploading', rate: 0, bytes: 200 }];
  expect(timeLeft(uploading, samples)).toBe(8000);
  expect(timeLeft(uploading, [])).toBe(0);
  expect(timeLeft(makeImport({ state: 'scanning' }, { phase: 'parsing' }), samples)).toBe(0);
});

test('samples thin out and keep the first and the newest', () => {
  let samples: Sample[] = [];
  for (let i = 0; i < 5000; i++) samples = record(samples, makeImport({}, { bytes: i }), i);
  expect(samples.length).toBeLessThanOrEqual(601);
  expect(samples[0]!.at).toBe(0);
  expect(samples.at(-1)!.at).toBe(4999);
  expect(rates([...samples, { at: 1, phase: 'parsing', rate: 5, bytes: 0 }], true)).toHaveLength(samples.length + 1);
  expect(rates([{ at: 1, phase: 'parsing', rate: 5, bytes: 0 }], false)).toEqual([]);
});

test('the feed tells an event once, seen or told by the import', () => {
  const im = makeImport({ state: 'completed', started_at: '2026-01-02T03:04:05Z', finished_at: '2026-01-02T03:04:09Z' });
  const kinds = (list: { kind: string }[]) => list.map((h) => h.kind.replace('import.', '')).join(' ');
  expect(kinds(feed([], [im]))).toBe('completed');
  expect(kinds(timeline([], im))).toBe('created started completed'); // the first two in the same second
  const seen = [happening('import.completed', '2026-01-02T03:04:09.5Z', im), happening('import.writing', '2026-01-02T03:04:07Z', im)];
  expect(kinds(feed(seen, [im]))).toBe('completed writing');
  expect(kinds(timeline([...seen, { ...seen[0]!, id: 'other' }], im))).toBe('created started writing completed');
  expect(sentence(seen[0]!)).toBe('a.csv was imported: 100 rows');
  expect(kinds(feed([], [makeImport({ finished_at: '2026-01-02T03:04:09Z' })]))).toBe('created'); // started again since
});

test('figures for people', () => {
  expect([1, 42, 530, 1049, 98_765, 531_422, 999_400, 1_234_567].map(approx)).toEqual(['1', '42', '530', '1k', '99k', '530k', '1M', '1.2M']);
  expect([950, 12_345, 123_456, 4_500_000].map(compact)).toEqual(['950', '12.3k', '123k', '4.5M']);
  expect([0, 999, 1500, 61_000_000].map(bytes)).toEqual(['0 B', '999 B', '1.5 kB', '61 MB']);
  expect([250, 4200, 59_700, 61_000, 7_260_000].map(duration)).toEqual(['250 ms', '4.2 s', '1 min 0 s', '1 min 1 s', '2 h 1 min']);
});
