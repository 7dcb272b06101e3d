// Every word the dashboard has for states and reasons, in one place.
import type { Import } from './types.ts';

/** The word for where an import stands, and the tone it is shown in. */
export function standing(im: Import): { word: string; tone: 'info' | 'ok' | 'bad' | '' } {
  switch (im.state) {
    case 'completed':
      return { word: im.dry_run ? 'Checked' : 'Complete', tone: 'ok' };
    case 'failed':
      return { word: 'Failed', tone: 'bad' };
    case 'cancelled':
      return { word: 'Cancelled', tone: '' };
    case 'queued':
      return { word: 'Queued', tone: 'info' };
    default:
      return { word: phases[im.progress.phase], tone: 'info' };
  }
}

const phases = {
  uploading: 'Uploading', parsing: 'Parsing', validating: 'Validating', writing: 'Writing', complete: 'Finishing',
} as const;

const reasons: Record<string, string> = {
  bad_quote: 'There is text after a closing quote. Write a quote inside a text twice.',
  unclosed_quote: 'A quote is opened and never closed.',
  record_too_long: 'The row is over 4 MiB. Often a quote is missing.',
  nul_byte: 'The row holds a NUL byte, which no text can hold.',
  invalid_encoding: 'Some characters do not fit the encoding of the file.',
  repeated_header: 'The row is the header again, as in files that were joined.',
  too_many_fields: 'The row has more cells than the header. Put a text with the separator in it in quotes.',
  missing_sku: 'The SKU is empty.',
  invalid_sku: 'The SKU holds a control character, such as a line break.',
  sku_too_long: 'The SKU is over 255 characters.',
  missing_name: 'The name is empty.',
  name_too_long: 'The name is over 512 characters.',
  description_too_long: 'The description is over 1 MiB.',
};

/** Why a row was rejected, as a sentence. */
export const reasonText = (code: string) => reasons[code] ?? code;

const failures: Record<string, string> = {
  empty_file: 'The file is empty',
  no_data_rows: 'The file has no rows',
  missing_column: 'A column is missing',
  duplicate_column: 'Two columns have the same name',
  unsupported_format: 'This is not a CSV file',
  bad_gzip: 'The compressed file is damaged',
  no_valid_rows: 'Every row was rejected',
  file_too_large: 'The file is too large',
  upload_incomplete: 'The upload did not finish',
  storage_full: 'The disk is full',
  storage_lost: 'The uploaded file is gone',
  database_unavailable: 'The database could not be reached',
};

/** The headline of a failure; the server's message tells the rest. */
export const failureTitle = (code: string) => failures[code] ?? 'The import stopped';

const encodings: Record<string, string> = {
  'utf-8': 'UTF-8', 'utf-16le': 'UTF-16', 'utf-16be': 'UTF-16', 'windows-1252': 'Windows-1252',
};
export const encodingName = (e: string) => encodings[e] ?? e;

const delimiters: Record<string, string> = { ',': 'comma', ';': 'semicolon', '\t': 'tab', '|': 'pipe' };
export const delimiterName = (d: string) => delimiters[d] ?? d;
