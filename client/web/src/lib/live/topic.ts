import type { Cursor, EventFrame, SubscribedFrame, UpdateFrame } from './frames.ts';

/** What a subscription is for. The calls come in the order of the topic. */
export interface Reader {
  /** The state as a whole, replacing everything before. */
  snapshot(data: Record<string, unknown>): void;
  event(kind: string, at: string, data: unknown): void;
  update(data: unknown): void;
  /** The server will not serve this topic. */
  refused(code: string, message: string): void;
}

/**
 * One topic's place in its stream. It decides which frames are applied:
 * events without gaps and once each, updates only when (seq, rev) grows.
 */
export class Topic {
  cursor?: Cursor;
  /** The id of the subscribe that has no answer yet; until then other frames are not ours. */
  awaiting = 0;
  #mark: [seq: number, rev: number] = [0, -1];

  constructor(readonly name: string, readonly reader: Reader) {}

  subscribed(frame: SubscribedFrame) {
    if (frame.id !== this.awaiting) return; // the answer to an older question
    this.awaiting = 0;
    if (frame.recovered) {
      for (const e of frame.events ?? []) this.event({ ...e, type: 'event', topic: this.name });
    } else {
      this.#mark = [frame.seq, -1];
      const { update, ...data } = frame.snapshot ?? {};
      this.reader.snapshot(data);
      if (update) this.#apply(update.seq ?? frame.seq, update.rev, update.data);
    }
    this.cursor = { epoch: frame.epoch, seq: frame.seq };
  }

  /** Returns false at a gap: the topic has to be subscribed again from its cursor. */
  event(frame: EventFrame): boolean {
    if (this.awaiting || !this.cursor || frame.seq <= this.cursor.seq) return true;
    if (frame.seq > this.cursor.seq + 1) return false;
    this.cursor = { ...this.cursor, seq: frame.seq };
    if (frame.seq > this.#mark[0]) this.#mark = [frame.seq, -1];
    this.reader.event(frame.kind, frame.at, frame.data);
    return true;
  }

  update(frame: UpdateFrame) {
    if (!this.awaiting && this.cursor && frame.seq >= this.cursor.seq) this.#apply(frame.seq, frame.rev, frame.data);
  }

  #apply(seq: number, rev: number, data: unknown) {
    const [lastSeq, lastRev] = this.#mark;
    if (seq < lastSeq || (seq === lastSeq && rev <= lastRev)) return;
    this.#mark = [seq, rev];
    this.reader.update(data);
  }
}
