import { readFileSync } from 'node:fs';
import { barValues, cable, card, csvFile, expect, figure, importByApi, isLive, open, recordBar, startImport, test } from './fixtures.ts';

test('a lost connection is said, keeps what was there, and resumes', async ({ page, request, baseURL }) => {
  const line = await cable(baseURL!);
  const subscribes: { topic: string; since?: { seq: number } }[] = [];
  page.on('websocket', (ws) =>
    ws.on('framesent', ({ payload }) => {
      const frame = JSON.parse(String(payload));
      if (frame.type === 'subscribe') subscribes.push(frame);
    }),
  );
  await open(page, line.url);
  await importByApi(request, 'before.csv', 'sku,name\nNET-1,a\n');
  await expect(card(page, 'before.csv')).toHaveAttribute('data-state', 'completed');

  line.cut();
  await expect(page.locator('[data-status=reconnecting]')).toContainText(/Reconnecting/);
  await expect(page.getByRole('button', { name: 'Retry now' })).toBeVisible();
  await importByApi(request, 'meanwhile.csv', 'sku,name\nNET-2,b\n');
  await expect(page.getByText('before.csv was imported: 1 row')).toBeVisible();
  await expect(page.getByText('meanwhile.csv')).toHaveCount(0);

  line.mend();
  await isLive(page);
  await expect(page.getByRole('row', { name: /meanwhile\.csv Complete 1/ })).toBeVisible();
  const again = subscribes.filter((s) => s.topic === 'imports').at(-1)!;
  expect(again.since?.seq).toBeGreaterThan(0);
  line.close();
});

test('an import that runs through a cut is followed to its end, and its bar never goes back', async ({ page, request, baseURL }) => {
  const line = await cable(baseURL!);
  const csv = readFileSync(csvFile('through.csv', 200_000, { prefix: 'THRU' }));
  await open(page, line.url);
  await recordBar(page, 'through.csv');
  await importByApi(request, 'through.csv', csv);
  await expect.poll(() => barValues(page)).not.toHaveLength(0);
  line.cut();
  await expect(page.locator('[data-status=reconnecting]')).toBeAttached();
  line.mend();
  await isLive(page);
  await expect(card(page, 'through.csv')).toHaveAttribute('data-state', 'completed', { timeout: 45_000 });
  const values = await barValues(page);
  expect(values).toEqual([...values].sort((a, b) => a - b));
  line.close();
});

test('an upload that is cut goes on where it stopped', async ({ page, baseURL }) => {
  const line = await cable(baseURL!, 8e6);
  const offsets: number[] = [];
  page.on('request', (r) => {
    if (r.method() === 'PATCH') offsets.push(Number(r.headers()['upload-offset']));
  });
  await open(page, line.url);
  await startImport(page, csvFile('cut.csv', 200_000, { prefix: 'CUT' }));
  const upload = card(page, 'cut.csv');
  await expect(upload.locator('[data-stage=Uploading]')).toContainText(/\d MB of \d+ MB/);
  await expect.poll(() => offsets.length).toBeGreaterThan(1); // the first 8 MiB have arrived

  line.cut();
  await expect(upload.getByText('Network lost, retrying')).toBeVisible();
  line.mend();
  await expect(upload.getByText('Network lost, retrying')).toBeHidden();
  await expect(upload).toHaveAttribute('data-state', 'completed', { timeout: 45_000 });
  await expect(figure(upload, 'Created')).toHaveText('200,000');
  expect(offsets.filter((o) => o === 0)).toHaveLength(1);
  line.close();
});

test('after a closed tab the same file goes on where it stopped', async ({ page, baseURL }) => {
  const line = await cable(baseURL!, 8e6);
  const offsets: number[] = [];
  page.on('request', (r) => {
    if (r.method() === 'PATCH') offsets.push(Number(r.headers()['upload-offset']));
  });
  page.on('dialog', (d) => void d.accept()); // "leave the page?", while uploading
  const path = csvFile('tab.csv', 200_000, { prefix: 'TAB' });
  await open(page, line.url);
  await startImport(page, path);
  await expect.poll(() => offsets.length).toBeGreaterThan(1);
  await page.reload();
  await isLive(page);
  await expect(card(page, 'tab.csv')).toHaveAttribute('data-state', 'uploading');

  offsets.length = 0;
  await startImport(page, path);
  await expect(card(page, 'tab.csv')).toHaveAttribute('data-state', 'completed', { timeout: 45_000 });
  expect(offsets[0]).toBeGreaterThan(0);
  line.close();
});

test('an upload that is cancelled is over, and the same file can be imported afresh', async ({ page, baseURL }) => {
  const line = await cable(baseURL!, 4e6);
  const path = csvFile('halt.csv', 100_000, { prefix: 'HALT' });
  await open(page, line.url);
  await startImport(page, path);
  const upload = card(page, 'halt.csv');
  await expect(upload.locator('[data-stage=Uploading]')).toContainText(/\d MB of \d+ MB/);
  await upload.getByRole('button', { name: 'Cancel import' }).click();
  await expect(upload).toHaveAttribute('data-state', 'cancelled');
  await expect(upload.getByText('The file had not arrived, so there is nothing to retry.')).toBeVisible();
  await upload.getByRole('button', { name: 'Dismiss' }).click();

  await startImport(page, path);
  await expect(upload).toHaveAttribute('data-state', 'completed', { timeout: 45_000 });
  await expect(figure(upload, 'Created')).toHaveText('100,000');
  line.close();
});

test('without a network the page says Offline, and comes back by itself', async ({ page, context, baseURL }) => {
  const line = await cable(baseURL!);
  await open(page, line.url);
  line.cut();
  await context.setOffline(true);
  await expect(page.locator('[data-status=offline]')).toContainText('Offline');
  await expect(page.getByRole('button', { name: 'Retry now' })).toBeVisible();
  line.mend();
  await context.setOffline(false);
  await isLive(page);
  line.close();
});

test('a list that cannot be loaded says so and tries again', async ({ page }) => {
  await page.routeWebSocket('/ws', (ws) => void ws.close({ code: 1013 }));
  await page.route('/api/imports?*', (r) => r.abort(), { times: 1 });
  await page.goto('/');
  await expect(page.getByRole('heading', { name: 'Imports could not be loaded' })).toBeVisible();
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByRole('region', { name: 'History' }).getByRole('row').nth(1)).toBeVisible();
});

test('Retry now does not wait', async ({ page }) => {
  await page.addInitScript(() => (Math.random = () => 0.999)); // the longest delays: 0.5, 1, 2, 4, 8 s
  let attempts = 0;
  let up = false;
  await page.routeWebSocket('/ws', (ws) => {
    attempts++;
    if (up) ws.connectToServer();
    else void ws.close({ code: 1013 });
  });
  await page.goto('/');
  await expect(page.locator('[data-status=reconnecting]')).toContainText('Reconnecting in 8 s');
  expect(attempts).toBe(5);
  up = true;
  await page.getByRole('button', { name: 'Retry now' }).click();
  await expect(page.locator('[data-status=live]')).toBeVisible({ timeout: 5_000 });
});
