import { num, plural } from '../format.ts';
import { FIELDS, type Field, type Mapping } from './header.ts';
import type { Sample } from './sample.ts';

/** What a person should know before the import: obstacles stop it, the rest only warns. */
export type Review = { obstacles: string[]; warnings: string[]; notes: string[] };

/** Looks at a sample with the columns that were chosen. */
export function review(sample: Sample, mapping: Mapping): Review {
  const obstacles: string[] = [];
  const warnings: string[] = [];
  const notes: string[] = [];

  const missing = (['sku', 'name'] as const).filter((f) => mapping[f] < 0);
  if (missing.length === 2) {
    obstacles.push('No column for sku and none for name was found. The first line of the file must be a header that names them; choose the columns if it does.');
  } else if (missing[0]) {
    obstacles.push(`No column for ${missing[0]} was found. Choose it.`);
  }
  for (const field of FIELDS) {
    if (ambiguous(sample, field, mapping)) {
      obstacles.push(`Two columns are called “${sample.columns[mapping[field]]}”. Rename one of them in the file.`);
    }
  }
  if (shared(mapping)) obstacles.push('Two fields use the same column. Choose another for one of them.');
  if (!sample.records.length) obstacles.push('The file has no rows below its header.');
  if (obstacles.length) return { obstacles, warnings, notes };

  const { records, columns } = sample;
  const among = sample.exact ? '' : ` of the first ${num(records.length)}`;
  const warn = (count: number, one: string, many: string) => {
    if (count) warnings.push(`${plural(count, 'row')}${among} ${count === 1 ? one : many}`);
  };
  const cell = (cells: string[], field: Field) => (cells[mapping[field]] ?? '').trim();
  warn(records.filter((r) => !cell(r.cells, 'sku')).length, 'has no SKU and will be rejected.', 'have no SKU and will be rejected.');
  warn(records.filter((r) => cell(r.cells, 'sku') && !cell(r.cells, 'name')).length, 'has no name and will be rejected.', 'have no name and will be rejected.');
  warn(
    records.filter((r) => r.cells.slice(columns.length).some((c) => c.trim())).length,
    'has more cells than the header and will be rejected.', 'have more cells than the header and will be rejected.',
  );
  const repeated = repeats(records.map((r) => cell(r.cells, 'sku')));
  warn(repeated, 'is replaced by a later row with the same SKU.', 'are replaced by a later row with the same SKU.');
  if (mapping.description < 0) notes.push('Without a description column, products that exist keep theirs.');
  return { obstacles, warnings, notes };
}

/** A column that was chosen is named by its very text; one that was found, by what its text means. */
function ambiguous(sample: Sample, field: Field, mapping: Mapping): boolean {
  if (mapping[field] === sample.mapping[field]) return sample.claimedTwice.includes(field);
  const text = sample.columns[mapping[field]];
  return sample.columns.filter((c) => c === text).length > 1;
}

function shared(mapping: Mapping): boolean {
  const used = Object.values(mapping).filter((i) => i >= 0);
  return new Set(used).size < used.length;
}

/** How many of the SKUs come again further down; upper and lower case count as the same. */
function repeats(skus: string[]): number {
  const keys = skus.filter(Boolean).map((s) => s.normalize('NFC').toLowerCase());
  return keys.length - new Set(keys).size;
}
