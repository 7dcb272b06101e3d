import type { Page } from '@playwright/test';
import type { Import } from '../src/lib/imports/types.ts';
import { accessible, card, csvFile, expect, importByApi, isLive, open, startImport, test, writeFile } from './fixtures.ts';

const id = '0198d2c4-8f4e-7000-8000-00000000000a';

/** An import in the middle, which no real one stays in long enough to be looked at. */
function halfway(changes: Partial<Import> = {}, progress: Partial<Import['progress']> = {}): Import {
  const now = new Date(Date.now() - 12_000).toISOString();
  return {
    id, filename: 'a-rather-long-name-of-a-catalogue-spring-2026-final.csv', size: 61_000_000, state: 'writing', dry_run: false, resumable: true,
    counts: { rows: 531_402, created: 180_000, updated: 20_000, unchanged: 10_000, duplicates: 1200, rejected: 202 },
    encoding: 'windows-1252', delimiter: ';', mapping: { sku: 'SKU' }, error: null, attempts: 2,
    created_at: now, started_at: now, finished_at: null,
    ...changes,
    progress: {
      phase: 'writing', bytes: 61_000_000, bytes_total: 61_000_000, bytes_scanned: 61_000_000, rows_scanned: 531_402,
      rows_done: 210_000, rows_total: 530_000, rows_per_s: 48_200, percent: 57.7, notice: '', ...progress,
    },
  };
}

/** Plays the server's side of the socket: one import, and updates when asked for. */
async function script(page: Page, im: Import) {
  const topic = `import:${im.id}`;
  let say = (_frame: object) => {};
  let subscribed = false;
  await page.routeWebSocket('/ws', (ws) => {
    subscribed = false;
    say = (frame) => ws.send(JSON.stringify(frame));
    say({ type: 'hello', v: 1, ping_ms: 20_000, pong_ms: 10_000 });
    ws.onMessage((text) => {
      const frame = JSON.parse(String(text));
      if (frame.type !== 'subscribe') return;
      const snapshot = frame.topic === 'imports' ? { imports: [im] } : { import: im };
      say({ type: 'subscribed', id: frame.id, topic: frame.topic, epoch: 'e', seq: 1, recovered: false, reason: 'fresh', snapshot });
      subscribed ||= frame.topic === topic;
    });
  });
  await page.route('/api/imports?*', (r) => r.fulfill({ json: { items: [im], next: null, total: 1 } }));
  await page.route(`/api/imports/${im.id}`, (r) => r.fulfill({ json: im }));
  await page.route(`/api/imports/${im.id}/rejects?*`, (r) =>
    r.fulfill({ json: { items: [{ line: 7, reason: 'missing_sku', field: 'sku', sku: '', name: 'Chair' }], next: null, total: 202 } }),
  );
  let rev = 0;
  return {
    /** An update before the page has subscribed would be lost. */
    async update(progress: Partial<Import['progress']>) {
      await expect.poll(() => subscribed).toBe(true);
      const data = { state: im.state, counts: im.counts, progress: { ...im.progress, ...progress } };
      say({ type: 'update', topic, seq: 1, rev: ++rev, data });
    },
  };
}

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme, contextOptions: { reducedMotion: 'reduce' } });

    test('axe finds nothing while a file is chosen', async ({ page }) => {
      await open(page);
      await page.setInputFiles('input[type=file]', writeFile('a.csv', 'sku,name,price\nA,b,1\n,b,2\nA,,3\na,x,4\n'));
      await expect(page.getByRole('button', { name: 'Import 4 rows' })).toBeVisible();
      await accessible(page, 'preview with warnings');
      await page.getByRole('button', { name: 'Choose another' }).click();
      await page.setInputFiles('input[type=file]', writeFile('b.csv', 'A-1,Lamp\nA-2,Desk\n'));
      await expect(page.getByText('must be a header')).toBeVisible();
      await accessible(page, 'preview that cannot be imported');
      await page.getByRole('button', { name: 'Choose another' }).click();
      await page.setInputFiles('input[type=file]', writeFile('c.csv', '%PDF-1.7'));
      await expect(page.getByRole('alert')).toBeVisible();
      await accessible(page, 'wrong file');
      await page.keyboard.press('?');
      await accessible(page, 'shortcuts');
    });

    test('axe finds nothing while an import runs', async ({ page }) => {
      const server = await script(page, halfway());
      await open(page);
      for (let i = 0; i < 5; i++) await server.update({ percent: 58 + i, rows_per_s: 40_000 + i * 2000, notice: i > 3 ? 'Waiting for the database' : '' });
      await expect(page.getByText('Waiting for the database')).toBeVisible();
      await accessible(page, 'live card');
      await page.getByRole('link', { name: 'Details' }).click();
      await expect(page.getByRole('slider', { name: 'Rows a second' })).toBeVisible();
      await expect(page.getByRole('cell', { name: 'The SKU is empty.' })).toBeVisible();
      await accessible(page, 'import page, running');
    });

    test('axe finds nothing when imports have ended', async ({ page, request }) => {
      const failed = await importByApi(request, 'failed.csv', 'code,label\n1,a\n');
      const bad = await importByApi(request, 'some-bad.csv', 'sku,name\nAXE-1,a\nAXE-2,\n');
      await open(page, `/imports/${failed}`);
      await expect(page.locator('[data-failure]')).toBeVisible();
      await accessible(page, 'import page, failed');
      await open(page, `/imports/${bad}`);
      await expect(page.getByRole('cell', { name: 'The name is empty.' })).toBeVisible();
      await accessible(page, 'import page, complete');
      await open(page);
      await accessible(page, 'history');
      await open(page, '/nothing/here');
      await accessible(page, 'not found');
      await page.goto('/imports/0198d2c4-8f4e-7000-8000-0000000000ff');
      await expect(page.getByRole('heading', { name: 'The import could not be loaded' })).toBeVisible();
      await accessible(page, 'no such import');
    });
  });
}

test('a late or repeated look never takes the bar back', async ({ page }) => {
  const server = await script(page, halfway());
  await open(page);
  const bar = card(page, halfway().filename).getByRole('progressbar');
  await server.update({ percent: 64, rows_done: 260_000 });
  await expect(bar).toHaveAttribute('aria-valuenow', '64');
  await server.update({ percent: 40, rows_done: 100_000, rows_per_s: 99_000 });
  await expect(page.getByText('99k rows/s')).toBeVisible();
  await expect(bar).toHaveAttribute('aria-valuenow', '64');
  await expect(page.getByText('260,000', { exact: false }).first()).toBeVisible();
});

test('a screen reader hears the stage and the quarters, not every update', async ({ page }) => {
  const server = await script(page, halfway());
  await open(page);
  const spoken = page.getByRole('status').filter({ hasText: 'Writing' });
  await expect(spoken).toHaveText(/: Writing, 50%$/);
  await server.update({ percent: 74 });
  await expect(page.getByRole('progressbar')).toHaveAttribute('aria-valuenow', '74');
  await expect(spoken).toHaveText(/: Writing, 50%$/);
  await server.update({ percent: 75 });
  await expect(spoken).toHaveText(/: Writing, 75%$/);
});

test('nothing is wider than a phone', async ({ page, request }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  const wider = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  const failed = await importByApi(request, `${'long'.repeat(30)}.csv`, `${'a-column-with-a-long-name,'.repeat(12)}z\n1,a\n`);
  for (const path of ['/', `/imports/${failed}`, '/nothing']) {
    await open(page, path);
    await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
    expect.soft(await wider(), path).toBeLessThanOrEqual(0);
  }
  await page.goto('/');
  await page.setInputFiles('input[type=file]', csvFile(`${'x'.repeat(80)}.csv`, 20));
  await expect(page.getByRole('button', { name: 'Import 20 rows' })).toBeVisible();
  expect.soft(await wider(), 'preview').toBeLessThanOrEqual(0);

  await script(page, halfway({}, { notice: 'Waiting for the database' }));
  for (const path of ['/', `/imports/${id}`]) {
    await open(page, path);
    await expect(page.getByRole('progressbar')).toBeVisible();
    expect.soft(await wider(), `${path} running`).toBeLessThanOrEqual(0);
  }
});

test.describe('the security policy', () => {
  test.use({ allowed: /violates the following Content Security Policy|requires 'Trusted/ });

  test('refuses inline styles and markup', async ({ page }) => {
    await page.goto('/');
    await isLive(page);
    const refused = await page.evaluate(async () => {
      const seen: string[] = [];
      document.addEventListener('securitypolicyviolation', (e) => seen.push(e.effectiveDirective));
      document.body.setAttribute('style', 'outline: 1px solid red');
      try {
        document.body.innerHTML = '<b>x</b>';
      } catch {
        seen.push('markup');
      }
      await new Promise(requestAnimationFrame);
      await new Promise((done) => setTimeout(done));
      return seen;
    });
    expect(refused).toContain('style-src-attr');
    expect(refused).toContain('markup');
  });
});

test('an upload whose page was closed says how to go on', async ({ page }) => {
  await page.clock.install();
  await script(page, halfway({ state: 'uploading', counts: { rows: 0, created: 0, updated: 0, unchanged: 0, duplicates: 0, rejected: 0 } }, { phase: 'uploading', bytes: 8_000_000, rows_total: 0, rows_done: 0 }));
  await open(page);
  await expect(page.locator('[data-stage=Uploading]')).toContainText('8 MB of 61 MB');
  await page.clock.runFor(12_000);
  await expect(page.getByText('choose the same file again to go on where it stopped')).toBeVisible();
});

test('an upload that is given up can go on', async ({ page }) => {
  await open(page);
  await page.clock.install();
  await page.route('/api/uploads/*', (r) => (r.request().method() === 'PATCH' ? r.abort() : r.fallback()));
  await startImport(page, writeFile('given-up.csv', 'sku,name\nUP-1,a\n'));
  const upload = card(page, 'given-up.csv');
  await expect(upload.getByText('Network lost, retrying')).toBeVisible();
  await expect(async () => {
    await page.clock.runFor(31_000);
    await expect(upload.getByText('Upload of given-up.csv stopped. Choose the same file again to go on where it stopped.')).toBeVisible({ timeout: 200 });
  }).toPass({ timeout: 30_000 });
  await page.unroute('/api/uploads/*');
  await upload.getByRole('button', { name: 'Go on' }).click();
  await expect(upload).toHaveAttribute('data-state', 'completed');
});
