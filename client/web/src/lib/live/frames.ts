// The frames of importer.v1.json that the dashboard reads and writes. Fields
// and types that are not listed are ignored, as the protocol asks.

export const SUBPROTOCOL = 'importer.v1.json';

/** How far a topic has been read. A seq means nothing under another epoch. */
export type Cursor = { epoch: string; seq: number };

/** A durable change of state, numbered without gaps in its topic. */
export type EventFrame = { type: 'event'; topic: string; seq: number; kind: string; at: string; data: unknown };

/** The newest progress: belongs after event seq, rev grows within seq. */
export type UpdateFrame = { type: 'update'; topic: string; seq: number; rev: number; data: unknown };

export type SubscribedFrame = {
  type: 'subscribed'; id: number; topic: string; epoch: string; seq: number; recovered: boolean;
  events?: Omit<EventFrame, 'type' | 'topic'>[];
  snapshot?: { update?: { seq?: number; rev: number; data: unknown } } & Record<string, unknown>;
};

export type ServerFrame =
  | { type: 'hello'; ping_ms: number; pong_ms: number }
  | SubscribedFrame
  | EventFrame
  | UpdateFrame
  | { type: 'ping' }
  | { type: 'pong' }
  | { type: 'error'; id?: number; code: string; message: string }
  | { type: 'bye'; reason?: string; reconnect: boolean; after_ms?: [number, number] };

export type ClientFrame =
  | { type: 'subscribe'; id: number; topic: string; since?: Cursor }
  | { type: 'unsubscribe'; id: number; topic: string }
  | { type: 'ping'; id: number }
  | { type: 'pong' };

/** Reads one message: an object, or an array of them to be taken in order. */
export function parse(message: string): ServerFrame[] {
  const value: unknown = JSON.parse(message);
  return (Array.isArray(value) ? value : [value]) as ServerFrame[];
}

/** Whether a closed connection may be opened again; all codes not listed may. */
export function mayReconnect(code: number): boolean {
  return code !== 1007 && code !== 1009 && !(code >= 4500 && code <= 4999);
}
