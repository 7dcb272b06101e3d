export const FIELDS = ['sku', 'name', 'description'] as const;
export type Field = (typeof FIELDS)[number];

/** The column of each field: an index into the columns of the file, -1 for none. */
export type Mapping = Record<Field, number>;

/** Header texts that mean a field; the leftmost one that a file has wins. */
const ALIASES: Record<Field, string[]> = {
  sku: ['sku', 'product sku', 'variant sku', 'item sku', 'sku code', 'stock keeping unit'],
  name: ['name', 'product name', 'item name', 'title', 'product title'],
  description: ['description', 'product description', 'long description', 'body (html)', 'body html', 'desc'],
};

/** What makes two header texts the same: "Product_SKU " is "product sku". */
export function normalise(header: string): string {
  return header.replace(/\p{Cf}/gu, '').trim().toLowerCase().replace(/[\s_-]+/g, ' ');
}

/** Finds the fields in a header, and those that two columns claim with the same text. */
export function match(columns: string[]): { mapping: Mapping; claimedTwice: Field[] } {
  const names = columns.map(normalise);
  const mapping: Mapping = { sku: -1, name: -1, description: -1 };
  const claimedTwice: Field[] = [];
  for (const field of FIELDS) {
    const alias = ALIASES[field].find((a) => names.includes(a));
    if (!alias) continue;
    mapping[field] = names.indexOf(alias);
    if (names.lastIndexOf(alias) !== mapping[field]) claimedTwice.push(field);
  }
  return { mapping, claimedTwice };
}
