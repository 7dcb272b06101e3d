// The wire shapes of webhooks, as package importer defines them.

export type Attempt = {
  at: string;
  n: number; // 0 for a test
  ok: boolean;
  status: number; // 0 when there was no answer
  error: string; // a class of failure; empty for none
  ms: number;
  remote_ip: string;
  response: string;
  request?: Record<string, string>;
};

export type Webhook = {
  id: string;
  url: string;
  events: string[];
  enabled: boolean;
  state: 'active' | 'paused' | 'disabled';
  state_reason: string;
  headers: Record<string, string>;
  timeout_ms: number;
  max_in_flight: number;
  rate_per_s: number;
  strict_order: boolean;
  version: number;
  last_attempt: Attempt | null;
  week: { delivered: number; failed: number };
  pending: number;
  created_at: string;
  updated_at: string;
  secret?: string; // in the answer to its creation only
};

/** What a person says of a webhook. */
export type Fields = Pick<Webhook, 'url' | 'events' | 'enabled' | 'headers' | 'timeout_ms' | 'max_in_flight' | 'rate_per_s' | 'strict_order'>;

export type Secret = { secret: string; old_until: string | null };

export type Delivery = {
  id: number;
  webhook_id: string;
  event_id: string;
  type: string;
  state: 'pending' | 'delivered' | 'exhausted' | 'cancelled';
  attempts: Attempt[]; // newest first; in a list only the newest
  tries: number;
  created_at: string;
  next_attempt_at: string | null;
  payload: unknown; // null in a list
};

export type EventType = { type: string; description: string; schema: unknown; example: unknown };
