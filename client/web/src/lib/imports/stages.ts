import { bytes, num, plural } from '../format.ts';
import { ended, type Import, type Phase } from './types.ts';

export type Stage = {
  name: string;
  status: 'waiting' | 'active' | 'done' | 'failed' | 'skipped';
  ratio: number; // 0 to 1
  detail: string;
};

const order: Phase[] = ['uploading', 'parsing', 'validating', 'writing', 'complete'];

/**
 * The five stages of an import. Uploading, parsing and validating may run at
 * the same time: the file is read while it arrives.
 */
export function stagesOf(im: Import): Stage[] {
  const { state, progress: p, counts: c, dry_run: dry } = im;
  const completed = state === 'completed';
  const scanned = completed || state === 'writing' || p.phase === 'writing' || p.rows_total > 0;
  const uploaded = completed || (state !== 'uploading' && p.bytes >= p.bytes_total) || scanned;
  const parsed = scanned || (uploaded && p.phase === 'validating') || (p.bytes_total > 0 && p.bytes_scanned >= p.bytes_total);

  const stages: Stage[] = [
    {
      name: 'Uploading',
      ...running(uploaded, state === 'uploading', ratio(p.bytes, p.bytes_total)),
      detail: uploaded ? bytes(im.size || p.bytes) : p.bytes_total ? `${bytes(p.bytes)} of ${bytes(p.bytes_total)}` : bytes(p.bytes),
    },
    {
      name: 'Parsing',
      ...running(parsed, p.bytes_scanned > 0 || p.phase === 'parsing', ratio(p.bytes_scanned, p.bytes_total)),
      detail: p.rows_scanned || parsed ? plural(Math.max(p.rows_scanned, c.rows), 'row') : 'Waiting',
    },
    {
      name: 'Validating',
      ...running(scanned, p.rows_scanned > 0 || p.phase === 'validating', ratio(p.bytes_scanned, p.bytes_total)),
      detail: p.rows_scanned || scanned ? `${num(c.rejected)} rejected` : 'Waiting',
    },
    {
      name: 'Writing',
      ...running(completed, p.phase === 'writing', ratio(p.rows_done, p.rows_total)),
      detail: p.rows_done || scanned ? plural(p.rows_done, 'row') : 'Waiting',
    },
    { name: 'Complete', ...running(completed, false, 0), detail: completed ? 'Done' : 'Not yet' },
  ];
  if (dry) stages[3] = { name: 'Writing', status: 'skipped', ratio: 0, detail: 'Check only' };
  if (ended(state) && !completed) stop(stages, im);
  return stages;
}

/** In an import that ended early, what ran has stopped; a failure is pinned to the phase it happened in. */
function stop(stages: Stage[], im: Import) {
  const at = stages[order.indexOf(im.progress.phase)];
  for (const s of stages) {
    if (s.status === 'active') s.status = 'waiting';
    if (s.status === 'waiting' && s.detail === 'Waiting') s.detail = '–';
  }
  if (im.state === 'failed' && at && at.status !== 'skipped') at.status = 'failed';
  const last = stages[4]!;
  last.detail = im.state === 'failed' ? 'Stopped' : 'Cancelled';
}

function running(done: boolean, active: boolean, part: number): Pick<Stage, 'status' | 'ratio'> {
  if (done) return { status: 'done', ratio: 1 };
  return { status: active ? 'active' : 'waiting', ratio: part };
}

function ratio(part: number, all: number): number {
  return all > 0 ? Math.min(1, part / all) : 0;
}
