import { expect, test } from '@playwright/test';
import { poll } from './poll.ts';

/** A page that is hidden and shown by the test, with a clock of the test's own. */
function setup({ hidden = false } = {}) {
  let heard = () => {};
  let due: (() => void) | null = null;
  let signal: AbortSignal | undefined;
  const answers: (() => void)[] = [];
  const p = {
    hidden,
    listening: true,
    asked: () => answers.length,
    aborted: () => signal?.aborted,
    /** Answers the last question; what follows from it has happened when it returns. */
    async answer() {
      answers.at(-1)!();
      for (let i = 0; i < 5; i++) await Promise.resolve();
    },
    /** Lets the time pass, and returns whether anything was to happen then. */
    wait() {
      const run = due;
      due = null;
      run?.();
      return run !== null;
    },
    show(on: boolean) {
      p.hidden = !on;
      heard();
    },
    stop: () => {},
  };
  p.stop = poll(
    (s) => {
      signal = s;
      return new Promise<void>((answer) => answers.push(answer));
    },
    5000,
    {
      hidden: () => p.hidden,
      onChange(f) {
        heard = f;
        return () => (p.listening = false);
      },
      later(run, ms) {
        expect(ms).toBe(5000);
        due = run;
        return () => (due = null);
      },
    },
  );
  return p;
}

test('it asks at once, and again a while after each answer', async () => {
  const p = setup();
  expect(p.asked()).toBe(1);
  p.show(true);
  expect(p.asked(), 'while an answer is awaited').toBe(1);
  expect(p.wait(), 'while an answer is awaited').toBe(false);
  await p.answer();
  expect(p.asked()).toBe(1);
  expect(p.wait()).toBe(true);
  expect(p.asked()).toBe(2);
  await p.answer();
  p.wait();
  expect(p.asked()).toBe(3);
});

test('a hidden page asks nothing, and at once when it is shown', async () => {
  const p = setup({ hidden: true });
  expect(p.asked()).toBe(0);
  p.show(true);
  expect(p.asked()).toBe(1);
  p.show(false);
  await p.answer();
  p.wait();
  expect(p.asked()).toBe(1);
  p.show(true);
  expect(p.asked()).toBe(2);
  await p.answer();
  expect(p.wait(), 'one timer only').toBe(true);
  expect(p.asked()).toBe(3);
});

test('after its end it asks no more', async () => {
  const p = setup();
  p.stop();
  expect(p.aborted()).toBe(true);
  expect(p.listening).toBe(false);
  await p.answer();
  expect(p.wait()).toBe(false);
});
