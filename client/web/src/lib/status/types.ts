import type { State } from '../imports/types.ts';
import type { Indexing } from '../products/types.ts';

/** One process of the program on the database. */
export type Machine = {
  id: string;
  name: string;
  version: string;
  started_at: string;
  seen_at: string;
  alive: boolean;
  imports: number;
};

/** What GET /api/status says. */
export type Status = {
  version: string;
  commit: string;
  machine: string;
  started_at: string;
  uptime_s: number;
  machines: Machine[];
  imports: Record<State, number>;
  queued_for_s: number;
  indexing: Indexing;
  database: { version: string; bytes: number };
  sockets: { open: number; queued_bytes: number };
};
