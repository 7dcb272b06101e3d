import type { Upload } from 'tus-js-client';
import { problem } from './api.ts';
import { FIELDS, type Field } from './csv/header.ts';
import { plural } from './format.ts';

/** What is uploaded, and what shall become of it. */
export type Order = {
  file: File;
  dryRun: boolean;
  /** The header texts of columns that were chosen by hand. */
  mapping: Partial<Record<Field, string>>;
};

/** An upload of this page. Its id is that of the import. */
export type Job = {
  id: string;
  filename: string;
  status: 'sending' | 'waiting' | 'stopped' | 'done';
  error: string;
};

const CHUNK = 8 * 1024 * 1024;
// About two and a half minutes without a sign of the server; progress starts the row again.
const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15_000, 30_000, 30_000, 30_000, 30_000];

/** The uploads of this page, by tus 1.0: a cut is followed by a question where to go on. */
class Uploads {
  jobs = $state<Record<string, Job>>({});
  busy = $derived(Object.values(this.jobs).some((j) => j.status === 'sending' || j.status === 'waiting'));
  #running = new Map<string, Upload>();

  constructor() {
    // A closed tab would stop an upload half-way.
    addEventListener('beforeunload', (e) => {
      if (this.busy) e.preventDefault();
    });
  }

  /** Starts an upload, or goes on with an earlier one of the same file. It returns the import's id. */
  async start(order: Order): Promise<string> {
    const { Upload } = await import('tus-js-client');
    const { file } = order;
    return new Promise((resolve, reject) => {
      let id = '';
      const set = (changes: Partial<Job>) => {
        if (id) this.jobs[id] = { id, filename: file.name, status: 'sending', error: '', ...this.jobs[id], ...changes };
      };
      const upload: Upload = new Upload(file, {
        endpoint: '/api/uploads',
        chunkSize: CHUNK,
        retryDelays: RETRY_MS,
        metadata: metadata(order),
        // With what is asked for in it: a check that was broken off must not go on as an import.
        fingerprint: () => Promise.resolve(fingerprint(order)),
        removeFingerprintOnSuccess: true,
        onUploadUrlAvailable: () => {
          id = upload.url!.split('/').pop()!;
          this.#running.set(id, upload);
          set({ status: 'sending', error: '' });
          resolve(id);
        },
        onProgress: () => set({ status: 'sending' }),
        onShouldRetry: (error, attempt) => {
          if (!id && attempt >= 2) return false; // nothing has begun yet: let the person decide
          const status = error.originalResponse?.getStatus() ?? 0;
          const again = status === 0 || status === 409 || status === 423 || status === 429 || status >= 500;
          if (again) set({ status: 'waiting' });
          return again;
        },
        onSuccess: () => {
          set({ status: 'done' });
          this.#running.delete(id);
        },
        onError: (error) => {
          const message = reason(error);
          set({ status: 'stopped', error: message });
          reject(new Error(message));
        },
      });
      upload.findPreviousUploads().then((previous) => {
        if (previous[0]) upload.resumeFromPreviousUpload(previous[0]);
        upload.start();
      }, reject);
    });
  }

  /** Goes on with an upload that was given up. */
  resume(id: string) {
    const job = this.jobs[id];
    const upload = this.#running.get(id);
    if (!job || !upload) return;
    job.status = 'sending';
    upload.start();
  }

  /** Stops sending; the import has been cancelled. */
  forget(id: string) {
    void this.#running.get(id)?.abort();
    this.#running.delete(id);
    delete this.jobs[id];
  }
}

function metadata({ file, dryRun, mapping }: Order): Record<string, string> {
  const data: Record<string, string> = { filename: file.name };
  if (dryRun) data.dry_run = 'true';
  for (const field of FIELDS) {
    if (mapping[field] !== undefined) data[`map_${field}`] = mapping[field];
  }
  return data;
}

function fingerprint({ file, dryRun, mapping }: Order): string {
  return JSON.stringify(['importer', file.name, file.size, file.lastModified, dryRun, mapping]);
}

/** What stopped an upload, for people. tus-js-client's own message is for the console. */
function reason(error: Error): string {
  const response = (error as { originalResponse?: { getStatus(): number; getBody(): string } | null }).originalResponse;
  if (response) return problem(response.getStatus(), response.getBody()).message;
  return `The server could not be reached after ${plural(RETRY_MS.length, 'try', 'tries')}.`;
}

export const uploads = new Uploads();
