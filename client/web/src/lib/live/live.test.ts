import { expect, test } from '@playwright/test';
import { backoff } from './backoff.ts';
import { Connection, type Socket, type Status, type World } from './connection.ts';
import type { Reader } from './topic.ts';

/** A socket in the hands of the test, which plays the server. */
class FakeSocket implements Socket {
  sent: Record<string, unknown>[] = [];
  closed = false;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.closed = true;
  }
  /** The server says this: one frame, or an array in one message. */
  say(frame: object) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  hangUp(code = 1006, reason = '') {
    this.onclose?.({ code, reason });
  }
  hello() {
    this.say({ type: 'hello', v: 1, ping_ms: 20_000, pong_ms: 10_000 });
  }
  get last() {
    return this.sent.at(-1);
  }
}

/** Time that passes when the test says so. */
class FakeWorld implements World {
  sockets: FakeSocket[] = [];
  chance = 0.5;
  #time = 0;
  #timers: { at: number; f: () => void }[] = [];
  open() {
    const s = new FakeSocket();
    this.sockets.push(s);
    return s;
  }
  now() {
    return this.#time;
  }
  random() {
    return this.chance;
  }
  after(ms: number, f: () => void) {
    const timer = { at: this.#time + ms, f };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer);
    };
  }
  pass(ms: number) {
    const end = this.#time + ms;
    for (;;) {
      const next = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#time = next.at;
      this.#timers = this.#timers.filter((t) => t !== next);
      next.f();
    }
    this.#time = end;
  }
  get socket() {
    return this.sockets.at(-1)!;
  }
}

/** Writes down what a topic delivers, as words that compare well. */
function recorder() {
  const log: string[] = [];
  const reader: Reader = {
    snapshot: (data) => log.push(`snapshot ${JSON.stringify(data)}`),
    event: (kind, _at, data) => log.push(`${kind} ${JSON.stringify(data)}`),
    update: (data) => log.push(`update ${JSON.stringify(data)}`),
    refused: (code) => log.push(`refused ${code}`),
  };
  return { log, reader };
}

function setup() {
  const world = new FakeWorld();
  const statuses: Status[] = [];
  const connection = new Connection(world, (s) => statuses.push(s));
  const { log, reader } = recorder();
  return { world, connection, log, reader, statuses, status: () => statuses.at(-1)! };
}

/** A live connection with topic t subscribed at seq 10. */
function subscribed() {
  const s = setup();
  const off = s.connection.subscribe('t', s.reader);
  s.connection.start();
  s.world.socket.hello();
  const id = s.world.socket.last!.id;
  s.world.socket.say({ type: 'subscribed', id, topic: 't', epoch: 'e1', seq: 10, recovered: false, reason: 'fresh', snapshot: { n: 1 } });
  s.log.length = 0;
  return { ...s, off };
}
const event = (seq: number, topic = 't') => ({ type: 'event', topic, seq, kind: `e${seq}`, at: '', data: seq });
const update = (seq: number, rev: number) => ({ type: 'update', topic: 't', seq, rev, data: `${seq}.${rev}` });

test('subscribes after hello and takes the snapshot with its update', () => {
  const { world, connection, log, reader, status } = setup();
  connection.subscribe('t', reader);
  connection.start();
  expect(world.socket.sent).toEqual([]);
  expect(status()).toEqual({ kind: 'connecting' });
  world.socket.hello();
  expect(status()).toEqual({ kind: 'live' });
  expect(world.socket.sent).toEqual([{ type: 'subscribe', id: 1, topic: 't' }]);
  world.socket.say({ type: 'subscribed', id: 1, topic: 't', epoch: 'e1', seq: 4, recovered: false, snapshot: { import: 1, update: { seq: 4, rev: 2, data: 'u' } } });
  expect(log).toEqual(['snapshot {"import":1}', 'update "u"']);
});

test('frames come alone or in an array, in order', () => {
  const { world, log } = subscribed();
  world.socket.say([event(11), update(11, 0), event(12)]);
  world.socket.say(event(13));
  expect(log).toEqual(['e11 11', 'update "11.0"', 'e12 12', 'e13 13']);
});

test('an event is applied once; unknown topics and types are passed over', () => {
  const { world, log } = subscribed();
  world.socket.say([event(10), event(11), event(11), event(1, 'other'), { type: 'news' }]);
  expect(log).toEqual(['e11 11']);
});

test('a gap subscribes again from the last event, and nothing is applied before the answer', () => {
  const { world, log } = subscribed();
  world.socket.say([event(11), event(13), event(14), update(14, 1)]);
  expect(log).toEqual(['e11 11']);
  const asked = world.socket.sent.filter((f) => f.type === 'subscribe').slice(1);
  expect(asked).toEqual([{ type: 'subscribe', id: 2, topic: 't', since: { epoch: 'e1', seq: 11 } }]);
  const events = [12, 13, 14].map((seq) => ({ seq, kind: `e${seq}`, at: '', data: seq }));
  world.socket.say({ type: 'subscribed', id: 2, topic: 't', epoch: 'e1', seq: 14, recovered: true, events });
  world.socket.say(event(15));
  expect(log).toEqual(['e11 11', 'e12 12', 'e13 13', 'e14 14', 'e15 15']);
});

test('an answer to an older question is not taken', () => {
  const { world, log } = subscribed();
  world.socket.say(event(12)); // asks again, id 2
  world.socket.say({ type: 'subscribed', id: 1, topic: 't', epoch: 'e1', seq: 3, recovered: false, snapshot: { old: true } });
  expect(log).toEqual([]);
});

test('an update is applied only when (seq, rev) grows', () => {
  const { world, log } = subscribed();
  world.socket.say([update(10, 5), update(10, 5), update(10, 4), update(9, 9), update(10, 6)]);
  world.socket.say([event(11), update(10, 7), update(11, 0), update(11, 1)]);
  expect(log).toEqual(['update "10.5"', 'update "10.6"', 'e11 11', 'update "11.0"', 'update "11.1"']);
});

test('after a cut it subscribes since the last event; a failed resume takes the snapshot', () => {
  const { world, log, status } = subscribed();
  world.socket.say(event(11));
  world.socket.hangUp();
  expect(status()).toEqual({ kind: 'waiting', until: 250 });
  world.pass(250);
  world.socket.hello();
  expect(world.socket.last).toMatchObject({ type: 'subscribe', since: { epoch: 'e1', seq: 11 } });
  world.socket.say({ type: 'subscribed', id: world.socket.last!.id, topic: 't', epoch: 'e2', seq: 2, recovered: false, reason: 'epoch', snapshot: { n: 2 } });
  world.socket.say([event(3), update(3, 0)]);
  expect(log).toEqual(['e11 11', 'snapshot {"n":2}', 'e3 3', 'update "3.0"']);
});

test('answers pings, and takes silence for a dead line', () => {
  const { world, status } = subscribed();
  const first = world.socket;
  world.pass(29_999);
  first.say({ type: 'ping' });
  expect(first.last).toEqual({ type: 'pong' });
  world.pass(29_999);
  expect(status()).toEqual({ kind: 'live' });
  world.pass(1);
  expect(first.closed).toBe(true);
  expect(status().kind).toBe('waiting');
});

test('a server that never says hello is given up', () => {
  const { world, connection, status } = setup();
  connection.start();
  world.pass(10_000);
  expect(status().kind).toBe('waiting');
});

test('waking probes a live line and gives it 5 s', () => {
  const { world, connection, status } = subscribed();
  connection.wake();
  expect(world.socket.last).toMatchObject({ type: 'ping' });
  world.pass(4_000);
  world.socket.say({ type: 'pong' });
  world.pass(4_000);
  expect(status()).toEqual({ kind: 'live' });
  connection.wake();
  world.pass(5_000);
  expect(status().kind).toBe('waiting');
});

test('waking and Retry now do not wait for the timer', () => {
  for (const act of ['wake', 'retryNow'] as const) {
    const { world, connection } = subscribed();
    world.chance = 1;
    world.socket.hangUp();
    connection[act]();
    expect(world.sockets.length, act).toBe(2);
    connection[act](); // one attempt at a time
    world.pass(9_999);
    expect(world.sockets.length, act).toBe(2);
  }
});

test('the delay doubles with full jitter and starts over after 30 s of health', () => {
  expect(backoff(0, 1)).toBe(500);
  expect(backoff(3, 0.5)).toBe(2_000);
  expect(backoff(20, 1)).toBe(30_000);
  expect(backoff(20, 0)).toBe(0);

  const { world, connection, status } = setup();
  world.chance = 1;
  connection.start();
  const waits = [];
  for (let i = 0; i < 8; i++) {
    world.socket.hangUp();
    const s = status();
    const wait = s.kind === 'waiting' ? s.until - world.now() : -1;
    waits.push(wait);
    world.pass(wait);
  }
  expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  world.socket.hello();
  world.pass(25_000);
  world.socket.say({ type: 'ping' });
  world.pass(5_000);
  world.socket.hangUp();
  expect(status()).toEqual({ kind: 'waiting', until: world.now() + 500 });
});

test('after bye the server says when to come back', () => {
  const { world, status } = subscribed();
  world.socket.say({ type: 'bye', code: 1012, reason: 'restart', reconnect: true, after_ms: [2_000, 8_000] });
  world.socket.hangUp(1012);
  expect(status()).toEqual({ kind: 'waiting', until: world.now() + 5_000 });
});

test('close codes: come back or stay away', () => {
  for (const code of [1001, 1006, 1011, 1012, 1013, 4000, 4001, 4499]) {
    const { world, status } = subscribed();
    world.socket.hangUp(code);
    expect(status().kind, String(code)).toBe('waiting');
  }
  for (const code of [1007, 1009, 4500, 4501, 4999]) {
    const { world, connection, status } = subscribed();
    world.socket.hangUp(code, 'because');
    expect(status(), String(code)).toEqual({ kind: 'stopped', reason: 'because' });
    connection.wake();
    world.pass(100_000);
    expect(world.sockets.length, String(code)).toBe(1);
    connection.retryNow();
    expect(world.sockets.length, String(code)).toBe(2);
  }
});

test('a refused topic tells its reader and is not asked for again', () => {
  const { world, connection, log, reader } = setup();
  connection.subscribe('import:x', reader);
  connection.start();
  world.socket.hello();
  world.socket.say({ type: 'error', id: 1, code: 'not_found', message: 'no such import' });
  expect(log).toEqual(['refused not_found']);
  world.socket.hangUp();
  world.pass(500);
  world.socket.hello();
  expect(world.socket.sent).toEqual([]);
});

test('a topic that cannot be served now is asked for again', () => {
  const { world, connection, log, reader } = setup();
  connection.subscribe('t', reader);
  connection.start();
  world.socket.hello();
  world.socket.say({ type: 'error', id: 1, code: 'unavailable', message: 'the database is away' });
  expect(log).toEqual([]);
  world.pass(5_000);
  expect(world.socket.last).toMatchObject({ type: 'subscribe', id: 2, topic: 't' });
});

test('an ended subscription says so and hears no more', () => {
  const { world, off, log } = subscribed();
  off();
  expect(world.socket.last).toMatchObject({ type: 'unsubscribe', topic: 't' });
  world.socket.say(event(11));
  expect(log).toEqual([]);
});

test('put away, the page keeps no socket; brought back it resumes', () => {
  const { world, connection } = subscribed();
  connection.sleep();
  expect(world.socket.closed).toBe(true);
  world.pass(100_000);
  expect(world.sockets.length).toBe(1);
  connection.wake();
  world.socket.hello();
  expect(world.socket.last).toMatchObject({ since: { epoch: 'e1', seq: 10 } });
});

test('it stays away after hanging up, whatever wakes the page, until start', () => {
  const { world, connection } = subscribed();
  connection.hangUp();
  expect(world.socket.closed).toBe(true);
  connection.wake();
  world.pass(120_000);
  expect(world.sockets).toHaveLength(1);
  connection.start();
  expect(world.sockets).toHaveLength(2);
  world.socket.hello();
  expect(world.socket.last).toMatchObject({ type: 'subscribe', topic: 't', since: { epoch: 'e1', seq: 10 } });
});
