import { request as httpRequest } from 'node:http';
import { readFileSync } from 'node:fs';
import { barValues, card, csvFile, expect, figure, importByApi, open, recordBar, startImport, test, writeFile } from './fixtures.ts';

test('a file is imported before your eyes', async ({ page }) => {
  const path = writeFile('spring.csv', 'sku,name,description\nEYE-1,Lamp,a\nEYE-2,Desk,b\neye-1,Lamp 2,c\n,No SKU,d\nEYE-3,,e\n');
  await open(page);
  await startImport(page, path, 'Import 5 rows');
  const done = card(page, 'spring.csv');
  await expect(done).toHaveAttribute('data-state', 'completed');
  await expect(done.getByRole('progressbar')).toHaveAttribute('aria-valuenow', '100');
  for (const [name, value] of Object.entries({ Created: '2', Updated: '0', Unchanged: '0', 'Repeated SKUs': '1', Rejected: '2' })) {
    await expect(figure(done, name)).toHaveText(value);
  }
  await expect(page.getByRole('row', { name: /spring\.csv Complete 5 2/ })).toBeVisible();
  await expect(page.getByRole('complementary', { name: 'Activity' })).toContainText('spring.csv was imported: 5 rows');

  // The same file again changes nothing.
  await done.getByRole('button', { name: 'Dismiss' }).click();
  await startImport(page, path);
  await expect(figure(card(page, 'spring.csv'), 'Unchanged')).toHaveText('2');
});

test('rejected rows are shown with reasons and come back as a file', async ({ page }) => {
  await open(page);
  await startImport(page, csvFile('bad.csv', 300, { prefix: 'BAD', badEvery: 5 }));
  await card(page, 'bad.csv').getByRole('link', { name: 'Details' }).click();
  await expect(page.getByRole('heading', { name: 'bad.csv' })).toBeFocused();
  const rejects = page.getByRole('region', { name: /Rejected rows/ });
  await expect(rejects.getByRole('row')).toHaveCount(26);
  await expect(rejects.getByRole('row').nth(1)).toHaveText(/6\s*The name is empty\.\s*BAD-0000004/);
  await rejects.getByRole('button', { name: 'Show 25 more' }).click();
  await expect(rejects.getByRole('row')).toHaveCount(51);
  await rejects.getByRole('button', { name: 'Show 25 more' }).click();
  await expect(rejects.getByRole('row')).toHaveCount(61);
  await expect(rejects.getByRole('button', { name: 'Show 25 more' })).toBeHidden();

  const downloading = page.waitForEvent('download');
  await rejects.getByRole('link', { name: 'Download CSV' }).click();
  const lines = readFileSync(await (await downloading).path(), 'utf8').replace(/^\uFEFF/, '').trim().split(/\r?\n/);
  expect(lines).toHaveLength(61);
  expect(lines[0]).toBe('line,reason,sku,name,description');
  expect(lines[1]).toMatch(/^6,missing_name,BAD-0000004,,/);
});

test('a failure says what happened, and offers a retry only where one helps', async ({ page, request }) => {
  const id = await importByApi(request, 'columns.csv', 'code,label\n1,a\n');
  await open(page, `/imports/${id}`);
  const box = page.locator('[data-failure=missing_column]');
  await expect(box).toContainText('A column is missing');
  await expect(box).toContainText('"code"');
  await expect(page.getByRole('button', { name: 'Retry import' })).toHaveCount(0);
  await page.getByRole('link', { name: 'Imports', exact: true }).first().click();
  await expect(page.getByRole('row', { name: /columns\.csv Failed/ })).toBeVisible();
});

test('Check only reads everything and writes nothing', async ({ page }) => {
  await open(page);
  const path = csvFile('check.csv', 40, { prefix: 'CHK', badEvery: 10 });
  await startImport(page, path, 'Check only');
  const checked = card(page, 'check.csv');
  await expect(checked).toHaveAttribute('data-state', 'completed');
  await expect(checked).toContainText('Check only: nothing was written. 36 products would be.');
  await checked.getByRole('button', { name: 'Dismiss' }).click();
  await expect(page.getByRole('row', { name: /check\.csv Checked 40 4/ })).toBeVisible();
  await startImport(page, path);
  await expect(figure(card(page, 'check.csv'), 'Created')).toHaveText('36');
});

test('Cancel stops an import, Retry goes on to the end', async ({ page, request }) => {
  const id = await importByApi(request, 'stop.csv', readFileSync(csvFile('stop.csv', 200_000, { prefix: 'STOP' })));
  await open(page, `/imports/${id}`);
  await page.getByRole('button', { name: 'Cancel import' }).click();
  await expect(page.getByText('A retry goes on where it stopped.')).toBeVisible();
  await expect(page.locator('[data-state=cancelled]')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Cancel import' })).toBeHidden();
  await page.getByRole('button', { name: 'Retry import' }).click();
  await expect(page.locator('[data-state=completed]')).toBeVisible({ timeout: 45_000 });
  await expect(figure(page, 'Created')).toHaveText('200,000');
});

test('the bar never goes back, and the tab tells the percentage', async ({ page }) => {
  await open(page);
  await recordBar(page, 'long.csv');
  await startImport(page, csvFile('long.csv', 200_000, { prefix: 'LONG' }), 'Import about 200k rows');
  await expect(page).toHaveTitle(/^\d+% · long\.csv$/);
  await expect(page.getByRole('link', { name: /Imports \d+%/ })).toBeVisible();
  await expect(card(page, 'long.csv')).toHaveAttribute('data-state', 'completed', { timeout: 45_000 });
  await expect(page).toHaveTitle('Imports · Product Importer');
  const values = await barValues(page);
  expect(values.length).toBeGreaterThan(5);
  expect(values).toEqual([...values].sort((a, b) => a - b));
  expect(values.at(-1)).toBe(100);
});

test('a reload in the middle and a second tab show the same import', async ({ page, context, request, baseURL }) => {
  // Half of the file arrives, and the rest when the test has looked.
  const file = readFileSync(csvFile('shared.csv', 20_000, { prefix: 'SHARE' }));
  const upload = httpRequest(`${baseURL}/api/imports?filename=shared.csv`, { method: 'POST', headers: { 'Content-Type': 'text/csv', 'Content-Length': file.length } });
  upload.on('response', (r) => r.resume());
  upload.write(file.subarray(0, file.length / 2));
  let id = '';
  await expect.poll(async () => {
    const list = await (await request.get('/api/imports?state=uploading')).json() as { items: { id: string; filename: string }[] };
    return id = list.items.find((i) => i.filename === 'shared.csv')?.id ?? '';
  }).not.toBe('');

  await open(page);
  const bar = card(page, 'shared.csv').getByRole('progressbar');
  await expect(bar).toBeVisible();
  const other = await context.newPage();
  await open(other, `/imports/${id}`);
  await expect(other.getByRole('progressbar')).toBeVisible();
  const before = Number(await bar.getAttribute('aria-valuenow'));
  await page.reload();
  await expect.poll(async () => Number(await bar.getAttribute('aria-valuenow'))).toBeGreaterThanOrEqual(before);
  upload.end(file.subarray(file.length / 2));
  await expect(card(page, 'shared.csv')).toHaveAttribute('data-state', 'completed', { timeout: 45_000 });
  await expect(other.locator('[data-state=completed]')).toBeVisible();
  await expect(figure(other, 'Created')).toHaveText('20,000');
});

test('markup in a file stays text', async ({ page }) => {
  await open(page);
  const evil = '<img src=x onerror=alert(1)>';
  await startImport(page, writeFile('<b>.csv', `sku,name\n${evil},\n${evil},${evil}\n`));
  await page.getByRole('link', { name: 'Details' }).first().click();
  await expect(page.getByRole('heading', { name: '<b>.csv' })).toBeVisible();
  await expect(page.getByRole('cell', { name: evil })).toBeVisible();
  expect(await page.locator('img[src=x]').count()).toBe(0);
});
