import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test as base, expect, type APIRequestContext, type Locator, type Page } from '@playwright/test';

export { expect };

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Noise of the browser about connections that a test cuts on purpose. */
const network = /WebSocket connection to|net::ERR_|Failed to load resource: the server responded with a status of (404|409)/;

/** Watches a page: console errors, uncaught exceptions and reports of the security policy fail the test. */
function watch(page: Page): string[] {
  const wrong: string[] = [];
  page.on('console', (m) => {
    if (m.type() === 'error' && !network.test(m.text())) wrong.push(m.text());
  });
  page.on('pageerror', (e) => wrong.push(e.message));
  return wrong;
}

/** allowed: what a test provokes in the console. */
export const test = base.extend<{ page: Page; allowed: RegExp | null }>({
  allowed: [null, { option: true }],
  page: async ({ page, context, allowed }, use) => {
    const all = [watch(page)];
    context.on('page', (p) => all.push(watch(p)));
    await use(page);
    expect(all.flat().filter((text) => !allowed?.test(text)), 'errors in the console').toEqual([]);
  },
});

export const isLive = (page: Page) => expect(page.locator('[data-status=live]')).toBeAttached();
export const card = (page: Page, name: string) => page.locator('[data-import]', { has: page.getByRole('link', { name, exact: true }) });

/**
 * Counts how often the page asked for a file. To be called before the page is
 * opened: the browser is told of it asynchronously, and a chooser before is lost.
 */
export function choosers(page: Page): () => number {
  let n = 0;
  page.on('filechooser', () => n++);
  return () => n;
}

/** One of the figures of a card or a page, by its name. */
export const figure = (scope: Page | Locator, name: string) => scope.locator('dl > div').filter({ hasText: new RegExp(`^\\s*${name}`) }).locator('dd');

/** Opens the imports page and waits for its connection. */
export async function open(page: Page, path = '/') {
  await page.goto(path);
  await isLive(page);
}

/** Writes a CSV file of n rows to disk. Every badEvery-th row has no name. */
export function csvFile(name: string, n: number, { prefix = 'SKU', badEvery = 0 } = {}): string {
  const lines = ['sku,name,description'];
  for (let i = 0; i < n; i++) {
    const title = badEvery && i % badEvery === badEvery - 1 ? '' : `Product number ${i}`;
    lines.push(`${prefix}-${String(i).padStart(7, '0')},${title},"A description, with a comma, to make a row of about a hundred bytes"`);
  }
  return writeFile(name, lines.join('\n') + '\n');
}

export function writeFile(name: string, content: string | Buffer): string {
  const dir = test.info().outputPath();
  mkdirSync(dir, { recursive: true });
  const path = test.info().outputPath(name);
  writeFileSync(path, content);
  return path;
}

/** Chooses a file and starts its import by pressing the button. */
export async function startImport(page: Page, path: string, button: string | RegExp = /^Import/) {
  await page.setInputFiles('input[type=file]', path);
  await page.getByRole('button', { name: button }).click();
}

/** Imports without the page: what another program does. It returns the import's id. */
export async function importByApi(request: APIRequestContext, filename: string, csv: string | Buffer): Promise<string> {
  const answer = await request.post(`/api/imports?filename=${filename}`, { headers: { 'Content-Type': 'text/csv' }, data: csv });
  expect(answer.ok(), await answer.text()).toBe(true);
  return ((await answer.json()) as { id: string }).id;
}

/** Fails on anything that axe finds against WCAG 2.2 AA. */
export async function accessible(page: Page, what: string) {
  await page.evaluate(() => Promise.all(document.getAnimations().map((a) => (a.effect?.getTiming().iterations === Infinity ? null : a.finished))));
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    type Result = { violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] };
    const { axe } = window as unknown as { axe: { run(options: object): Promise<Result> } };
    const { violations } = await axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
    return violations.map((v) => `${v.id} (${v.impact}): ${v.nodes[0]!.html} ${v.nodes[0]!.failureSummary}`);
  });
  expect.soft(found, what).toEqual([]);
}

/**
 * A TCP proxy in front of the server that can be cut. The emulated «offline»
 * of the browser leaves open sockets and running requests alone.
 */
export async function cable(target: string, bytesPerSecond = Infinity) {
  const sockets = new Set<Socket>();
  let up = true;
  const server = createServer((client) => {
    if (!up) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(new URL(target).port), '127.0.0.1');
    for (const s of [client, upstream]) {
      sockets.add(s);
      s.on('error', () => {});
      s.on('close', () => {
        sockets.delete(s);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (data) => {
      upstream.write(data);
      if (bytesPerSecond === Infinity) return;
      client.pause();
      setTimeout(() => client.resume(), (data.length / bytesPerSecond) * 1000);
    });
    upstream.pipe(client);
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const hangUp = () => sockets.forEach((s) => s.destroy());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      up = false;
      hangUp();
    },
    mend() {
      up = true;
    },
    close() {
      hangUp();
      server.close();
    },
  };
}

/** Notes every value that the bar of an import takes, from now on. */
export async function recordBar(page: Page, filename: string) {
  await page.evaluate((name) => {
    const values: number[] = ((window as unknown as { bar: number[] }).bar = []);
    const note = () => {
      const bar = document.querySelector(`[role=progressbar][aria-label="Import of ${name}"]`);
      const value = Number(bar?.getAttribute('aria-valuenow'));
      if (bar && values.at(-1) !== value) values.push(value);
    };
    note();
    new MutationObserver(note).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['aria-valuenow'] });
  }, filename);
}

export const barValues = (page: Page) => page.evaluate(() => (window as unknown as { bar: number[] }).bar);
