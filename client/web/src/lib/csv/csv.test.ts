import { gzipSync } from 'node:zlib';
import { expect, test } from '@playwright/test';
import { detect } from './encoding.ts';
import { match, normalise } from './header.ts';
import { kindOf } from './kind.ts';
import { review } from './review.ts';
import { parseSample, readSample, WrongKind } from './sample.ts';

const utf8 = (s: string) => new TextEncoder().encode(s);
const utf16 = (s: string, big: boolean) => {
  const view = new DataView(new ArrayBuffer(s.length * 2));
  for (let i = 0; i < s.length; i++) view.setUint16(i * 2, s.charCodeAt(i), !big);
  return new Uint8Array(view.buffer);
};
const whole = (s: string | Uint8Array<ArrayBuffer>) => {
  const head = typeof s === 'string' ? utf8(s) : s;
  return { ...parseSample(head, head.length, true), compressed: false };
};
const reviewed = (s: string) => {
  const sample = whole(s);
  return review(sample, sample.mapping);
};

test('the delimiter is the first with which the header makes sense', () => {
  const cases: [string, string][] = [
    ['sku,name,description\n', ','],
    ['sku;name;description\n', ';'],
    ['sku\tname\n', '\t'],
    ['sku|name\n', '|'],
    ['Name, long;SKU;Title\nx;y;z\n', ';'], // more commas would not make it a comma file
    ['sku,"name"\n1;2;3;4,x\n', ','],
    ['artikel;bezeichnung;preis, netto\n', ';'], // nothing fits: most columns, for choosing by hand
  ];
  for (const [text, want] of cases) expect(whole(text).delimiter, text).toBe(want);
});

test('a first line sep= sets the delimiter and counts as a line', () => {
  const s = whole('SEP=;\r\nsku;name\r\n1;a,b\r\n');
  expect(s).toMatchObject({ delimiter: ';', columns: ['sku', 'name'], records: [{ line: 3, cells: ['1', 'a,b'] }] });
});

test('header texts are compared as the server does', () => {
  expect(normalise(' \uFEFFProduct__SKU ')).toBe('product sku');
  expect(match(['Title', 'Variant-SKU', 'Body (HTML)']).mapping).toEqual({ sku: 1, name: 0, description: 2 });
  expect(match(['title', 'sku code', 'sku', 'name']).mapping).toMatchObject({ sku: 2, name: 3 }); // the best alias wins, not the first column
  expect(match(['SKU', 'sku ', 'name']).claimedTwice).toEqual(['sku']);
  expect(match(['code', 'product', 'notes']).mapping).toEqual({ sku: -1, name: -1, description: -1 });
});

test('lines are counted as an editor does', () => {
  const s = whole('\nsku,name,description\n\n1,a,"two\nlines"\n,,\n2,b,c\n');
  expect(s.records.map((r) => [r.line, r.cells[0]])).toEqual([[4, '1'], [7, '2']]);
  expect(s).toMatchObject({ rows: 2, exact: true });
});

test('a lone CR ends lines only in files that begin so', () => {
  expect(whole('sku,name\r1,a\r2,b\r').rows).toBe(2);
  expect(whole('sku,name\n1,a\rb\n').records[0]!.cells).toEqual(['1', 'a\rb']);
});

test('encodings', () => {
  const text = 'sku,name\n1,Cafe\n';
  expect(detect(utf8(text))).toBe('utf-8');
  expect(detect(new Uint8Array([0xef, 0xbb, 0xbf, ...utf8(text)]))).toBe('utf-8');
  expect(detect(utf16(text, false))).toBe('utf-16le');
  expect(detect(utf16(text, true))).toBe('utf-16be');
  expect(whole(utf16('\uFEFF' + text, false)).columns).toEqual(['sku', 'name']);

  const latin = new Uint8Array([...utf8('sku,name\n1,Caf'), 0xe9, ...utf8('\n2,'), ...utf8('Café\n')]);
  expect(detect(latin)).toBe('windows-1252');
  expect(whole(latin).records[0]!.cells[1]).toBe('Café');
  const late = new Uint8Array([...utf8('sku,name\n1,Café\n2,'), 0xe9, 10]);
  expect(detect(late)).toBe('utf-8'); // the first line with such a byte decides
  expect(detect(utf8('sku,name\n1,Café').slice(0, -1))).toBe('utf-8'); // a character cut by the end of the sample
});

test('a file is what its bytes say', () => {
  expect(kindOf(new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d]))).toBe('png');
  expect(kindOf(utf8('PK\x03\x04xl/'))).toBe('zip');
  expect(kindOf(utf8('%PDF-1.7'))).toBe('pdf');
  expect(kindOf(utf8('PK,name'))).toBe('text');
  expect(kindOf(new Uint8Array(gzipSync('sku')))).toBe('gzip');
});

test('gzip is looked into, other kinds are refused', async () => {
  const text = 'sku,name\n' + Array.from({ length: 50 }, (_, i) => `${i},n${i}\n`).join('');
  expect(await readSample(new Blob([gzipSync(text)]))).toMatchObject({ compressed: true, rows: 50, exact: true, mapping: { sku: 0, name: 1 } });
  await expect(readSample(new Blob([utf8('%PDF-1.7')]))).rejects.toThrow(WrongKind);
});

test('the number of rows of a large file is estimated from its head', async () => {
  const row = (i: number) => `SKU-${String(i).padStart(7, '0')},Product,"A text, with a comma"\n`;
  const text = 'sku,name,description\n' + Array.from({ length: 20_000 }, (_, i) => row(i)).join('');
  const s = await readSample(new Blob([text]));
  expect(s.exact).toBe(false);
  expect(s.rows).toBeGreaterThan(19_800);
  expect(s.rows).toBeLessThan(20_200);
  expect(s.records.every((r) => r.cells.length === 3)).toBe(true); // the cut one at the end is gone
});

test('warnings about the rows', () => {
  const { obstacles, warnings, notes } = reviewed('sku,name\n1,a\n ,b\n2,\n1,c\n3,d,e\nA,x\na,y\n');
  expect(obstacles).toEqual([]);
  expect(warnings).toEqual([
    '1 row has no SKU and will be rejected.',
    '1 row has no name and will be rejected.',
    '1 row has more cells than the header and will be rejected.',
    '2 rows are replaced by a later row with the same SKU.',
  ]);
  expect(notes).toHaveLength(1);
});

test('what stops an import is said before it starts', () => {
  expect(reviewed('A-1,Lamp,Nice\nA-2,Desk,Big\n').obstacles[0]).toContain('must be a header');
  expect(reviewed('sku,titel\n1,a\n').obstacles).toEqual(['No column for name was found. Choose it.']);
  expect(reviewed('sku,name,SKU\n1,a,2\n').obstacles).toEqual(['Two columns are called “sku”. Rename one of them in the file.']);
  const twice = whole('sku,name,SKU\n1,a,2\n');
  expect(review(twice, { ...twice.mapping, sku: 2 }).obstacles).toEqual([]); // now it is clear which one
  expect(reviewed('sku,name\n').obstacles).toEqual(['The file has no rows below its header.']);
  const s = whole('sku,name\n1,a\n');
  expect(review(s, { ...s.mapping, description: 1 }).obstacles[0]).toContain('same column');
});
