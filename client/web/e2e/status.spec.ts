import { accessible, expect, figure, importByApi, open, test } from './fixtures.ts';

const machine = (over: object) => ({
  id: '0198d2c4-8f4e-7000-8000-00000000000a', name: 'app-1', version: '1.4.0', started_at: '2026-03-01T09:00:00Z', seen_at: new Date().toISOString(), alive: true, imports: 0, leases: [], webhooks: 0, ...over,
});

/** A server that has more to tell than the one of these tests. */
const busy = {
  version: '1.4.0', commit: '9c1fa94a0f1be5', machine: '0198d2c4-8f4e-7000-8000-00000000000a', started_at: '2026-03-01T09:00:00Z', uptime_s: 93_600,
  machines: [
    machine({
      imports: 3, webhooks: 12,
      leases: [
        { import_id: '0198d2c4-8f4e-7000-8000-0000000000a1', filename: 'spring-catalogue.csv', state: 'writing' },
        { import_id: '0198d2c4-8f4e-7000-8000-0000000000a2', filename: 'prices.csv', state: 'scanning' },
      ],
    }),
    machine({ id: '0198d2c4-8f4e-7000-8000-00000000000b', name: `<img src=x onerror=alert(1)>${'long'.repeat(12)}`, alive: false, imports: 1, seen_at: '2026-03-01T09:30:00Z' }),
  ],
  imports: { uploading: 1, queued: 12, scanning: 1, writing: 3, completed: 1041, failed: 2, cancelled: 0 },
  queued_for_s: 95.4, indexing: { indexed: 400_000, total: 500_000, pending: 100_000 },
  webhooks: { pending: 3120, overdue_for_s: 400 }, disk: { free: 5_000_000_000, total: 80_000_000_000 },
  database: { version: '17.6 (Debian 17.6-1)', bytes: 1_412_000_000 }, sockets: { open: 214, queued_bytes: 3_200_000 },
};

test('the status page shows this server', async ({ page, request }) => {
  await importByApi(request, 'status.csv', 'sku,name\nSTATUS-1,a\n');
  await open(page);
  await page.getByRole('navigation').getByRole('link', { name: 'Status' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Status' })).toBeFocused();
  await expect(page).toHaveTitle('Status · Product Importer');
  await expect(page.getByText(/^Version /)).toBeVisible();
  await expect(page.locator('[data-machine]')).toHaveCount(1);
  await expect(page.locator('[data-machine]')).toContainText('this one');
  await expect(page.locator('[data-machine] .pill')).toHaveText('Alive');
  await expect(page.getByText(/^PostgreSQL \d+/)).toBeVisible();
  await expect(page.getByText(/^free of \d+ [GT]B$/)).toBeVisible();
  await expect(page.locator('[data-machine]')).toContainText('nothing');
});

test('it says first what somebody should look at', async ({ page }) => {
  await page.route('/api/status', (r) => r.fulfill({ json: busy }));
  await open(page, '/status');
  const verdict = page.getByRole('region', { name: '4 things to look at' });
  await expect(verdict.getByRole('listitem')).toHaveCount(4);
  await expect(verdict).toContainText('1 min 35 s');
  await expect(verdict).toContainText('5 GB left of 80 GB');
  await page.unroute('/api/status');
  const well = { ...busy, machines: [busy.machines[0]], queued_for_s: 0, webhooks: { pending: 0, overdue_for_s: 0 }, disk: { free: 4e10, total: 8e10 } };
  await page.route('/api/status', (r) => r.fulfill({ json: well }));
  await page.reload();
  await expect(page.getByRole('region', { name: 'All is well' })).toContainText('1 machine at work on 4 imports.');
});

test('a machine names the imports it works on, and leads to them', async ({ page }) => {
  await page.route('/api/status', (r) => r.fulfill({ json: busy }));
  await open(page, '/status');
  const first = page.locator('[data-machine]').first();
  await expect(first.getByRole('listitem')).toHaveText(['spring-catalogue.csv writing', 'prices.csv scanning', 'and 1 more', '12 webhooks']);
  await expect(first.getByRole('link', { name: 'prices.csv' })).toHaveAttribute('href', '/imports/0198d2c4-8f4e-7000-8000-0000000000a2');
  await expect(page.locator('[data-machine]').last().getByRole('listitem')).toHaveText(['1 import']);
});

test('it looks again every few seconds, and at once when it is shown', async ({ page, request }) => {
  await page.clock.install();
  await open(page, '/status');
  const complete = async () => Number((await figure(page, 'Complete').textContent())!.replace(/\D/g, ''));
  await expect(figure(page, 'Complete')).toBeVisible();
  const before = await complete();
  const id = await importByApi(request, 'status-again.csv', 'sku,name\nSTATUS-2,a\n');
  await expect.poll(async () => ((await (await request.get(`/api/imports/${id}`)).json()) as { state: string }).state).toBe('completed');
  await page.clock.runFor(5000);
  await expect.poll(complete).toBe(before + 1);
});

test('a look that fails keeps the last figures and says so', async ({ page }) => {
  await page.clock.install();
  await page.route('/api/status', (r) => r.fulfill({ json: busy }));
  await open(page, '/status');
  await expect(figure(page, 'Queued')).toHaveText('12');
  await page.unroute('/api/status');
  await page.route('/api/status', (r) => r.abort());
  await page.clock.runFor(5000);
  await expect(page.getByRole('status').filter({ hasText: 'Not up to date' })).toContainText('cannot be reached');
  await expect(figure(page, 'Queued')).toHaveText('12');
  await page.unroute('/api/status');
  await page.clock.runFor(5000);
  await expect(page.getByText('Not up to date')).toBeHidden();
});

test('without a first answer it says why, and tries again', async ({ page }) => {
  await page.route('/api/status', (r) => r.abort());
  await open(page, '/status');
  await expect(page.getByRole('heading', { name: 'The status could not be loaded' })).toBeVisible();
  await accessible(page, 'status, not loaded');
  await page.unroute('/api/status');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.locator('[data-machine]')).toHaveCount(1);
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`axe finds nothing on the status page, ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.route('/api/status', (r) => r.fulfill({ json: busy }));
    await open(page, '/status');
    await expect(page.getByText('the first in the queue has waited 1 min 35 s')).toBeVisible();
    await expect(page.getByText('400,000 of 500,000 products', { exact: false })).toBeVisible();
    await expect(page.locator('[data-machine]').last().locator('.pill')).toHaveText('Gone');
    await accessible(page, 'status');
  });
}

test('names of machines are text, and the page fits a phone', async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await page.route('/api/status', (r) => r.fulfill({ json: busy }));
  await open(page, '/status');
  await expect(page.getByText('<img src=x')).toHaveCount(2); // it is gone, so the verdict names it, too
  await expect(page.locator('main img')).toHaveCount(0);
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
});
