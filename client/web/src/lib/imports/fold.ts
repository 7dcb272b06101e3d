import type { Import, ImportUpdate, Progress } from './types.ts';

/**
 * Takes a newer look at an import so that nothing shown falls: the percentage
 * never, the other figures of progress not within one attempt. The server
 * promises the same; two sources that overtake each other must not undo it.
 */
export function fold(old: Import | undefined, next: Import): Import {
  if (!old) return next;
  const progress = { ...next.progress };
  progress.percent = Math.max(old.progress.percent, progress.percent);
  if (old.attempts === next.attempts) {
    for (const figure of figures) progress[figure] = Math.max(old.progress[figure], progress[figure]);
  }
  return { ...next, progress };
}

export function foldUpdate(old: Import, update: ImportUpdate): Import {
  return fold(old, { ...old, ...update });
}

const figures = ['bytes', 'bytes_total', 'bytes_scanned', 'rows_scanned', 'rows_done', 'rows_total'] as const satisfies (keyof Progress)[];
