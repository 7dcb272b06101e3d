import { expect, test } from '@playwright/test';
import { Latest } from './latest.ts';

/** A request that is answered when the test says so, and does not care for its signal. */
function request<T>() {
  let answer!: (value: T) => void;
  let fail!: (reason: Error) => void;
  const promise = new Promise<T>((resolve, reject) => {
    answer = resolve;
    fail = reject;
  });
  let signal: AbortSignal | undefined;
  return { send: (s: AbortSignal) => ((signal = s), promise), answer, fail, aborted: () => signal?.aborted };
}

test('an answer that comes after a newer request is dropped, whatever the order', async () => {
  const latest = new Latest();
  const [first, second] = [request<string>(), request<string>()];
  const a = latest.run(first.send);
  expect(first.aborted()).toBe(false);
  const b = latest.run(second.send);
  expect(first.aborted()).toBe(true);
  second.answer('new');
  expect(await b).toBe('new');
  expect(latest.busy).toBe(false);
  first.answer('old');
  expect(await a).toBeNull();
});

test('an old answer does not end the wait for the new one', async () => {
  const latest = new Latest();
  const [first, second] = [request<string>(), request<string>()];
  const a = latest.run(first.send);
  const b = latest.run(second.send);
  first.answer('old');
  expect(await a).toBeNull();
  expect(latest.busy).toBe(true);
  expect(second.aborted()).toBe(false);
  second.answer('new');
  expect(await b).toBe('new');
});

test('only the newest may fail', async () => {
  const latest = new Latest();
  const [first, second] = [request<string>(), request<string>()];
  const a = latest.run(first.send);
  const b = latest.run(second.send);
  first.fail(new Error('old'));
  second.fail(new Error('new'));
  expect(await a).toBeNull();
  await expect(b).rejects.toThrow('new');
});

test('after a stop nothing is answered', async () => {
  const latest = new Latest();
  const only = request<string>();
  const a = latest.run(only.send);
  latest.stop();
  expect(only.aborted()).toBe(true);
  only.answer('late');
  expect(await a).toBeNull();
});
