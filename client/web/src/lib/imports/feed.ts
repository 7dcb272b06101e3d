import { plural } from '../format.ts';
import { ended, type Import } from './types.ts';

/** Something that happened to an import: an event that was seen, or a time the import carries. */
export type Happening = { id: string; filename: string; kind: string; at: string; rows: number; dryRun: boolean };

export function happening(kind: string, at: string, im: Import): Happening {
  return { id: im.id, filename: im.filename, kind, at, rows: im.counts.rows, dryRun: im.dry_run };
}

/** What happened to these imports, newest first: the events that were seen, and what the imports tell of before. */
export function feed(seen: Happening[], list: Import[]): Happening[] {
  const have = new Set(seen.map((h) => `${h.id} ${h.kind}`));
  const told = list.flatMap(past).filter((h) => !have.has(`${h.id} ${h.kind}`));
  return [...seen, ...told].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
}

function past(im: Import): Happening[] {
  const all = [happening('import.created', im.created_at, im)];
  if (im.started_at) all.push(happening('import.started', im.started_at, im));
  if (im.finished_at && ended(im.state)) all.push(happening(`import.${im.state}`, im.finished_at, im));
  return all;
}

/** A line of the feed. */
export function sentence({ kind, filename, rows, dryRun }: Happening): string {
  switch (kind) {
    case 'import.created':
      return `Upload of ${filename} began`;
    case 'import.queued':
      return `${filename} is queued`;
    case 'import.started':
      return `${filename} is being read`;
    case 'import.writing':
      return dryRun ? `${filename} is being checked` : `${filename} is being written`;
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
