import Papa from 'papaparse';
import { decode, detect, type Encoding } from './encoding.ts';
import { match, type Field, type Mapping } from './header.ts';
import { kindOf } from './kind.ts';

/** How much of a file is read to show what is in it. */
const HEAD = 256 * 1024;

/** A record and the line of the file on which it starts, as an editor counts. */
export type Record = { line: number; cells: string[] };

/** What the head of a file tells about the file. */
export type Sample = {
  encoding: Encoding;
  delimiter: string;
  compressed: boolean;
  columns: string[];
  records: Record[]; // those in the head, without the header and blank lines
  mapping: Mapping;
  claimedTwice: Field[];
  rows: number; // in the whole file, as far as can be told
  exact: boolean;
};

/** The file is of a kind that cannot be read. */
export class WrongKind extends Error {}

/** Reads the head of a file. It throws WrongKind, or whatever reading throws. */
export async function readSample(file: Blob): Promise<Sample> {
  let head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  let size = file.size;
  let whole = head.length === size;
  const kind = kindOf(head);
  if (kind === 'gzip') {
    const packed = head.length;
    ({ head, whole } = await unpack(head, whole));
    size = (size / packed) * head.length; // if the rest packs as well as its head
  } else if (kind !== 'text') {
    throw new WrongKind(kind);
  }
  return { ...parseSample(head, size, whole), compressed: kind === 'gzip' };
}

/** Understands the first bytes of a file of size bytes; whole when they are all of it. */
export function parseSample(head: Uint8Array, size: number, whole: boolean): Omit<Sample, 'compressed'> {
  const encoding = detect(head);
  let text = decode(head, encoding);
  let line = 1;
  // A lone CR ends lines only in a file whose first line break is one.
  const breaks = /\r\n?|\n/.exec(text.replace(/"(?:[^"]|"")*"/g, ''))?.[0];
  text = text.replace(/\r\n/g, '\n');
  if (breaks === '\r') text = text.replace(/\r/g, '\n');

  const sep = /^sep=([,;\t|])[ \t]*(?:\n|$)/i.exec(text);
  if (sep) {
    text = text.slice(sep[0].length);
    line++;
  }
  const candidates = sep ? [sep[1]!] : [',', ';', '\t', '|'];
  const delimiter = chooseDelimiter(text, candidates);
  const all = parse(text, delimiter, line);
  if (!whole && all.length > 1) all.pop(); // the last one may be cut
  const [header, ...records] = all.filter((r) => !blank(r.cells));
  const columns = header?.cells.map((c) => c.trim()) ?? [];
  const bytesEach = head.length / Math.max(1, records.length);
  return {
    encoding, delimiter, columns, records,
    ...match(columns),
    rows: whole ? records.length : Math.round(size / bytesEach),
    exact: whole,
  };
}

/** The first delimiter with which the header has a sku and a name; else the one that cuts it into most columns. */
function chooseDelimiter(text: string, candidates: string[]): string {
  let best = candidates[0]!;
  let most = 0;
  for (const delimiter of candidates) {
    const header = parse(text, delimiter, 1, 50).find((r) => !blank(r.cells))?.cells ?? [];
    const { mapping } = match(header);
    if (mapping.sku >= 0 && mapping.name >= 0) return delimiter;
    if (header.length > most) [best, most] = [delimiter, header.length];
  }
  return best;
}

function parse(text: string, delimiter: string, line: number, limit = 0): Record[] {
  const { data } = Papa.parse<string[]>(text, { delimiter, newline: '\n', preview: limit });
  return data.map((cells) => {
    const record = { line, cells };
    line += 1 + cells.reduce((n, c) => n + (c.split('\n').length - 1), 0);
    return record;
  });
}

const blank = (cells: string[]) => cells.every((c) => c.trim() === '');

/** Unpacks the head of a gzip file as far as it goes. */
async function unpack(packed: Uint8Array<ArrayBuffer>, whole: boolean): Promise<{ head: Uint8Array<ArrayBuffer>; whole: boolean }> {
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip')).getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value as Uint8Array<ArrayBuffer>);
      length += value.length;
      if (length > 16 * HEAD) {
        whole = false;
        await reader.cancel();
        break;
      }
    }
  } catch (e) {
    if (whole || length === 0) throw e; // damaged; a head that ends in the middle is not
  }
  return { head: new Uint8Array(await new Blob(chunks).arrayBuffer()), whole };
}
