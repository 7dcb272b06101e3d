import { plural } from '../format.ts';
import { ended, type Import } from './types.ts';

/** Something that happened to an import: an event that was seen, or a time the import carries. */
export type Happening = { id: string; filename: string; kind: string; at: string; rows: number; dryRun: boolean };

export function happening(kind: string, at: string, im: Import): Happening {
  return { id: im.id, filename: im.filename, kind, at, rows: im.counts.rows, dryRun: im.dry_run };
}

/** What happened, newest first: the events that were seen, and where each import stands that was not seen changing. */
export function feed(seen: Happening[], list: Import[]): Happening[] {
  const told = list.map((im) => steps(im).at(-1)!);
  return merge(seen, told).sort(inOrder).reverse();
}

/** The course of one import, oldest first. */
export function timeline(seen: Happening[], im: Import): Happening[] {
  return merge(seen.filter((h) => h.id === im.id), steps(im)).sort(inOrder);
}

/** An event that was seen is worth more than the same one told by the import. */
function merge(seen: Happening[], told: Happening[]): Happening[] {
  const have = new Set(seen.map((h) => `${h.id} ${h.kind}`));
  return [...seen, ...told.filter((h) => !have.has(`${h.id} ${h.kind}`))];
}

/** What an import itself tells of its past, oldest first. */
function steps(im: Import): Happening[] {
  const all = [happening('import.created', im.created_at, im)];
  if (im.started_at) all.push(happening('import.started', im.started_at, im));
  if (im.finished_at && ended(im.state)) all.push(happening(`import.${im.state}`, im.finished_at, im));
  return all;
}

const order = ['import.created', 'import.queued', 'import.started', 'import.writing', 'import.completed', 'import.failed', 'import.cancelled'];

/** By time; of the same moment, in the order in which things come. */
function inOrder(a: Happening, b: Happening): number {
  return Date.parse(a.at) - Date.parse(b.at) || order.indexOf(a.kind) - order.indexOf(b.kind);
}

/** A line of the feed. */
export function sentence({ kind, filename, rows, dryRun }: Happening): string {
  switch (kind) {
    case 'import.created':
      return `Upload of ${filename} began`;
    case 'import.queued':
      return `${filename} was queued`;
    case 'import.started':
      return `Reading of ${filename} began`;
    case 'import.writing':
      return `Writing of ${filename} began`;
    case 'import.completed':
      return `${filename} was ${dryRun ? 'checked' : 'imported'}: ${plural(rows, 'row')}`;
    case 'import.failed':
      return `${filename} failed`;
    case 'import.cancelled':
      return `${filename} was cancelled`;
    default:
      return `${filename} changed`;
  }
}

/** A step of one import's timeline. */
export function step({ kind, dryRun }: Happening): string {
  const words: Record<string, string> = {
    'import.created': 'Upload began',
    'import.queued': 'Queued',
    'import.started': 'Reading began',
    'import.writing': 'Writing began',
    'import.completed': dryRun ? 'Checked' : 'Complete',
    'import.failed': 'Failed',
    'import.cancelled': 'Cancelled',
  };
  return words[kind] ?? kind;
}

/** The tone of a happening, as for states. */
export function tone(kind: string): 'ok' | 'bad' | 'info' | '' {
  if (kind === 'import.completed') return 'ok';
  if (kind === 'import.failed') return 'bad';
  return kind === 'import.cancelled' ? '' : 'info';
}
