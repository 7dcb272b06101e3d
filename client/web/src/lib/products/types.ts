// The wire shapes of the catalogue, as package importer defines them.

export type Product = {
  id: number;
  sku: string;
  name: string;
  description: string;
  active: boolean;
  version: number; // grows with every change
  created_at: string;
  updated_at: string;
};

/** What a person says of a product. */
export type Fields = Pick<Product, 'sku' | 'name' | 'description' | 'active'>;

/** A part of the catalogue. When total_is_floor there are more than total. */
export type ProductPage = {
  items: Product[];
  next: string | null;
  prev: string | null;
  total: number;
  total_is_floor: boolean;
};

export type Indexing = { indexed: number; total: number; pending: number };
