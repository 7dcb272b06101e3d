import type { Fields, Product } from './types.ts';

export const FIELDS = ['sku', 'name', 'description', 'active'] as const;
export type Field = (typeof FIELDS)[number];

/** What a form begins with. */
export function fieldsOf(p: Product | null): Fields {
  return p ? { sku: p.sku, name: p.name, description: p.description, active: p.active } : { sku: '', name: '', description: '', active: true };
}

/** The fields that differ from those a form began with: all that is sent, and all that can be lost. */
export function changes(form: Fields, base: Fields): Partial<Fields> {
  return Object.fromEntries(FIELDS.filter((f) => form[f] !== base[f]).map((f) => [f, form[f]]));
}

/** A field that somebody else changed while it was edited here. */
export type Clash = { field: Field; theirs: string | boolean; mine: string | boolean; touched: boolean };

export function clashes(form: Fields, base: Fields, now: Fields): Clash[] {
  return FIELDS.filter((f) => now[f] !== base[f]).map((field) => ({
    field, theirs: now[field], mine: form[field], touched: form[field] !== base[field] && form[field] !== now[field],
  }));
}

/** The form on top of a newer product: what was not touched here follows it. */
export function rebase(form: Fields, base: Fields, now: Fields): Fields {
  return { ...now, ...changes(form, base) };
}
