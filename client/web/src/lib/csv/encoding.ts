export type Encoding = 'utf-8' | 'utf-16le' | 'utf-16be' | 'windows-1252';

/**
 * Decides how a file is encoded, as the server does: a byte order mark; NULs
 * in every other byte; else the first line with a byte over 0x7f, which is
 * UTF-8 or makes the file Windows-1252.
 */
export function detect(head: Uint8Array): Encoding {
  const [a, b, c] = head;
  if (a === 0xef && b === 0xbb && c === 0xbf) return 'utf-8';
  if (a === 0xff && b === 0xfe) return 'utf-16le';
  if (a === 0xfe && b === 0xff) return 'utf-16be';

  const sample = head.subarray(0, 4096);
  const nuls = [0, 0];
  sample.forEach((byte, i) => {
    if (byte === 0) nuls[i % 2]!++;
  });
  const enough = 0.4 * (sample.length / 2);
  if (nuls[1]! > 0 && nuls[1]! >= enough && nuls[0] === 0) return 'utf-16le';
  if (nuls[0]! > 0 && nuls[0]! >= enough && nuls[1] === 0) return 'utf-16be';

  const high = head.findIndex((byte) => byte >= 0x80);
  if (high < 0) return 'utf-8';
  const start = Math.max(head.lastIndexOf(LF, high), head.lastIndexOf(CR, high)) + 1;
  const ends = [head.indexOf(LF, high), head.indexOf(CR, high)].filter((i) => i >= 0);
  const end = ends.length ? Math.min(...ends) : head.length;
  try {
    // stream: the end of the sample may cut a character in two
    new TextDecoder('utf-8', { fatal: true }).decode(head.subarray(start, end), { stream: end === head.length });
    return 'utf-8';
  } catch {
    return 'windows-1252';
  }
}

/** Decodes the head of a file, without its byte order mark. */
export function decode(head: Uint8Array, encoding: Encoding): string {
  return new TextDecoder(encoding).decode(head, { stream: true });
}

const LF = 0x0a;
const CR = 0x0d;
