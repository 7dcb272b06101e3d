// The wire shapes of an import, as package importer defines them.

export type State = 'uploading' | 'queued' | 'scanning' | 'writing' | 'completed' | 'failed' | 'cancelled';
export type Phase = 'uploading' | 'parsing' | 'validating' | 'writing' | 'complete';

/** rows = created + updated + unchanged + duplicates + rejected, once completed. */
export type Counts = {
  rows: number; created: number; updated: number; unchanged: number; duplicates: number; rejected: number;
};

export type Progress = {
  phase: Phase;
  bytes: number; // received
  bytes_total: number; // 0 while unknown
  bytes_scanned: number;
  rows_scanned: number;
  rows_done: number; // written
  rows_total: number; // to write; 0 until the scan is done
  rows_per_s: number; // of the phase that runs
  percent: number;
  notice: string; // what it waits for, in words
};

export type ImportError = { code: string; message: string; retry: boolean };

export type Import = {
  id: string;
  filename: string;
  size: number;
  state: State;
  dry_run: boolean;
  resumable: boolean;
  counts: Counts;
  progress: Progress;
  encoding: string;
  delimiter: string;
  mapping: Record<string, string>;
  error: ImportError | null;
  attempts: number;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
};

/** What changes many times a second. */
export type ImportUpdate = { state: State; counts: Counts; progress: Progress };

export type Reject = { line: number; reason: string; field: string; sku: string; name: string };

export const ended = (s: State) => s === 'completed' || s === 'failed' || s === 'cancelled';
