import type { State } from '../imports/types.ts';
import type { Indexing } from '../products/types.ts';

/** An import that a machine works on. */
export type Lease = { import_id: string; filename: string; state: State };

/** One process of the program on the database. */
export type Machine = {
  id: string;
  name: string;
  version: string;
  started_at: string;
  seen_at: string;
  alive: boolean;
  imports: number;
  leases: Lease[];
  webhooks: number;
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
  webhooks: { pending: number; overdue_for_s: number };
  database: { version: string; bytes: number };
  disk: { free: number; total: number };
  sockets: { open: number; queued_bytes: number };
};
