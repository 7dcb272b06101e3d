import { backoff } from './backoff.ts';
import { mayReconnect, parse, type ClientFrame, type ServerFrame } from './frames.ts';
import { Topic, type Reader } from './topic.ts';

/** A WebSocket as far as it is needed here. */
export interface Socket {
  send(text: string): void;
  close(): void;
  onmessage: ((e: { data: string }) => void) | null;
  onclose: ((e: { code: number; reason: string }) => void) | null;
}

/** The world around the connection: sockets, time and chance. */
export interface World {
  open(): Socket;
  now(): number;
  /** Calls f once after ms, unless the function it returns is called before. */
  after(ms: number, f: () => void): () => void;
  random(): number;
}

export type Status =
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'waiting'; until: number } // for the next attempt, in World.now() time
  | { kind: 'stopped'; reason: string }; // the server does not want us back

const HELLO_MS = 10_000;
const PROBE_MS = 5_000;
const HEALTHY_MS = 30_000;
const REASK_MS = 5_000;

/** Error codes of a subscribe that may go well a little later. */
const PASSING = new Set(['unavailable', 'limited', 'internal']);

/**
 * The one connection of a tab. It connects, notices when the other side is
 * gone, reconnects and subscribes every topic again from where it stopped.
 *
 *   connecting ──hello──▶ live ──cut──▶ waiting ──timer, wake──▶ connecting
 *       └──────────cut──────────────────▶ ▲        └─ stopped: only retryNow
 */
export class Connection {
  #world: World;
  #onStatus: (s: Status) => void;
  #status: Status = { kind: 'connecting' };
  #topics = new Map<string, Topic>();
  #socket: Socket | null = null;
  #silence = HELLO_MS; // how long no frame may come, in ms
  #lastId = 0;
  #attempt = 0;
  #afterBye: number | null = null; // the server's own wish for the next delay, in ms
  #stopReason = '';
  #out = false; // hung up, until start
  // Each cancels its timer.
  #retry = () => {};
  #watch = () => {};
  #probe = () => {};
  #healthy = () => {};

  constructor(world: World, onStatus: (s: Status) => void) {
    this.#world = world;
    this.#onStatus = onStatus;
  }

  start() {
    this.#out = false;
    if (!this.#socket) this.#connect();
  }

  /** Hangs up and stays away until start: nobody is signed in. */
  hangUp() {
    this.sleep();
    this.#out = true;
  }

  /** Hangs up and stays away until wake: the page is put away. */
  sleep() {
    this.#drop();
    this.#retry();
    if (this.#status.kind !== 'stopped') this.#set({ kind: 'connecting' });
  }

  /**
   * The page or the network is back: is the connection, too? A socket that
   * died in our sleep looks open, so it has PROBE_MS to prove itself.
   */
  wake() {
    if (this.#out) return;
    if (this.#status.kind === 'live' && this.#socket) {
      this.#send({ type: 'ping', id: ++this.#lastId });
      this.#probe();
      this.#probe = this.#world.after(PROBE_MS, () => this.#cut());
    } else if (this.#status.kind !== 'stopped' && !this.#socket) {
      this.#connect();
    }
  }

  /** Connects at once, whatever the timer says. */
  retryNow() {
    this.#attempt = 0;
    if (!this.#socket) this.#connect();
  }

  /** Reads a topic until the function it returns is called. One reader a topic. */
  subscribe(name: string, reader: Reader): () => void {
    if (this.#topics.has(name)) throw new Error(`topic ${name} has a reader`);
    const topic = new Topic(name, reader);
    this.#topics.set(name, topic);
    if (this.#status.kind === 'live') this.#ask(topic);
    return () => {
      if (this.#topics.get(name) !== topic) return;
      this.#topics.delete(name);
      if (this.#status.kind === 'live') this.#send({ type: 'unsubscribe', id: ++this.#lastId, topic: name });
    };
  }

  #connect() {
    this.#retry();
    this.#afterBye = null;
    this.#stopReason = '';
    this.#silence = HELLO_MS;
    this.#set({ kind: 'connecting' });
    const socket = this.#world.open();
    this.#socket = socket;
    this.#heard();
    socket.onmessage = (e) => {
      if (socket !== this.#socket) return;
      this.#heard();
      for (const frame of parse(e.data)) this.#take(frame);
    };
    socket.onclose = (e) => {
      if (socket !== this.#socket) return;
      if (!mayReconnect(e.code)) this.#stopReason ||= e.reason || `The server ended the connection (${e.code}).`;
      this.#cut();
    };
  }

  #take(frame: ServerFrame) {
    switch (frame.type) {
      case 'hello':
        this.#silence = frame.ping_ms + frame.pong_ms;
        this.#heard();
        this.#healthy = this.#world.after(HEALTHY_MS, () => (this.#attempt = 0));
        this.#set({ kind: 'live' });
        for (const topic of this.#topics.values()) this.#ask(topic);
        break;
      case 'ping':
        this.#send({ type: 'pong' });
        break;
      case 'subscribed':
        this.#topics.get(frame.topic)?.subscribed(frame);
        break;
      case 'event': {
        const topic = this.#topics.get(frame.topic);
        if (topic && !topic.event(frame)) this.#ask(topic);
        break;
      }
      case 'update':
        this.#topics.get(frame.topic)?.update(frame);
        break;
      case 'error':
        this.#refused(frame.id, frame.code, frame.message);
        break;
      case 'bye':
        if (!frame.reconnect) {
          this.#stopReason = frame.reason || 'The server said goodbye.';
        } else if (frame.after_ms) {
          const [from, to] = frame.after_ms;
          this.#afterBye = from + this.#world.random() * (to - from);
        }
        break;
    }
  }

  #ask(topic: Topic) {
    topic.awaiting = ++this.#lastId;
    this.#send({ type: 'subscribe', id: topic.awaiting, topic: topic.name, since: topic.cursor });
  }

  #refused(id: number | undefined, code: string, message: string) {
    const topic = [...this.#topics.values()].find((t) => id && t.awaiting === id);
    if (!topic) return;
    if (PASSING.has(code)) {
      this.#world.after(REASK_MS * (0.5 + this.#world.random()), () => {
        const current = this.#status.kind === 'live' && this.#topics.get(topic.name) === topic && topic.awaiting === id;
        if (current) this.#ask(topic);
      });
      return;
    }
    this.#topics.delete(topic.name);
    topic.reader.refused(code, message);
  }

  #send(frame: ClientFrame) {
    this.#socket?.send(JSON.stringify(frame));
  }

  /** A script sees no protocol pings, so the server sends frames: silence means that the line is dead. */
  #heard() {
    this.#probe();
    this.#watch();
    this.#watch = this.#world.after(this.#silence, () => this.#cut());
  }

  /** The line is gone, or as good as: closing a dead one would take minutes to be confirmed. */
  #cut() {
    this.#drop();
    if (this.#stopReason) {
      this.#set({ kind: 'stopped', reason: this.#stopReason });
      return;
    }
    const wait = this.#afterBye ?? backoff(this.#attempt++, this.#world.random());
    this.#retry();
    this.#retry = this.#world.after(wait, () => this.#connect());
    this.#set({ kind: 'waiting', until: this.#world.now() + wait });
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#watch();
    this.#probe();
    this.#healthy();
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #set(s: Status) {
    this.#status = s;
    this.#onStatus(s);
  }
}
