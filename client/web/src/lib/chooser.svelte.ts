import type { Sample } from './csv/sample.ts';
import { router } from './router.svelte.ts';

/** The file that was dropped or chosen and waits for its import to be started. */
class Chooser {
  file = $state.raw<File | null>(null);
  sample = $state.raw<Sample | null>(null);
  problem = $state('');
  reading = $derived(this.file !== null && this.sample === null);

  async choose(files: FileList | null | undefined) {
    const file = files?.[0];
    if (!file) return;
    router.go('/');
    this.clear();
    if (files.length > 1) {
      this.problem = `One file at a time, please: you dropped ${files.length}.`;
      return;
    }
    this.file = file;
    try {
      if (!file.size) throw new Error(`${file.name} is empty.`);
      // The CSV reader is loaded with the first file.
      const { readSample, WrongKind } = await import('./csv/sample.ts');
      const sample = await readSample(file).catch((e: unknown) => {
        throw e instanceof WrongKind
          ? new Error(`${file.name} is not a CSV file. Save the sheet as CSV and try again.`)
          : new Error(`${file.name} could not be read. Is it a folder, or open in another program?`);
      });
      if (this.file === file) this.sample = sample; // else another one was chosen meanwhile
    } catch (e) {
      if (this.file === file) {
        this.clear();
        this.problem = (e as Error).message;
      }
    }
  }

  clear() {
    this.file = null;
    this.sample = null;
    this.problem = '';
  }
}

export const chooser = new Chooser();
