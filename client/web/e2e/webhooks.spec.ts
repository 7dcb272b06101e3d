import type { APIRequestContext, Page } from '@playwright/test';
import type { Webhook } from '../src/lib/webhooks/types.ts';
import { accessible, expect, open, test } from './fixtures.ts';
import { Receiver } from './receiver.ts';

// What these tests provoke on purpose.
test.use({ allowed: /responded with a status of (409|412|422|503)/ });

let receiver: Receiver;
test.beforeEach(async ({ request }) => {
  const { items } = (await (await request.get('/api/webhooks')).json()) as { items: Webhook[] };
  for (const w of items) await request.delete(`/api/webhooks/${w.id}`);
  receiver = new Receiver();
  await receiver.start();
});
test.afterEach(() => receiver.stop());

async function hook(request: APIRequestContext, fields: object = {}): Promise<Webhook> {
  const answer = await request.post('/api/webhooks', { data: { url: receiver.url + '/hooks', events: ['*'], ...fields } });
  expect(answer.status(), await answer.text()).toBe(201);
  return (await answer.json()) as Webhook;
}

const row = (page: Page, w: { id: string }) => page.locator(`[data-webhook="${w.id}"]`);
const sku = (name: string) => `${name}-${Math.random().toString(36).slice(2)}`;

async function makeProduct(request: APIRequestContext, name: string): Promise<number> {
  const answer = await request.post('/api/products', { data: { sku: sku(name), name: 'Lamp' } });
  expect(answer.status(), await answer.text()).toBe(201);
  return ((await answer.json()) as { id: number }).id;
}

test('a webhook is added with its secret, tested, changed and deleted', async ({ page }) => {
  await open(page, '/webhooks');
  await expect(page.getByRole('heading', { name: 'No webhooks yet' })).toBeVisible();
  await accessible(page, 'no webhooks');
  await page.locator('[data-new]').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('URL').fill('ftp://example.com');
  await dialog.getByRole('button', { name: 'Add webhook' }).click();
  await expect(dialog.getByText('The URL has to begin with https://.')).toBeVisible();
  await expect(dialog.getByLabel('URL')).toBeFocused();
  await accessible(page, 'a refused URL');

  await dialog.getByLabel('URL').fill(receiver.url + '/hooks');
  await dialog.getByLabel('All events, also those to come').uncheck();
  await dialog.getByLabel('All of import.*').check();
  await expect(dialog.getByLabel('import.failed')).toBeDisabled();
  await dialog.getByText('Headers and limits').click();
  await dialog.getByLabel('Headers', { exact: true }).fill('nonsense');
  await dialog.getByRole('button', { name: 'Add webhook' }).click();
  await expect(dialog.getByText(/is no header/)).toBeVisible();
  await dialog.getByLabel('Headers', { exact: true }).fill('Authorization: Bearer abc');
  await dialog.getByLabel('Time to answer, s').fill('5');
  await dialog.getByRole('button', { name: 'Add webhook' }).click();
  await expect(page.locator('[data-secret]')).toHaveText(/^whsec_/);
  await accessible(page, 'the secret');
  await page.getByRole('button', { name: 'Done' }).click();

  await page.getByRole('button', { name: `Test ${receiver.url}/hooks` }).click();
  await expect(dialog.getByText(/^200 · \d+ ms$/)).toBeVisible();
  await expect(dialog.getByText('thank you')).toBeVisible();
  expect(receiver.got[0]!.headers.authorization).toBe('Bearer abc');
  expect(receiver.got[0]!.headers['webhook-signature']).toMatch(/^v1,/);
  await dialog.getByText('Headers that were sent').click();
  await expect(dialog.getByText('(hidden)')).toBeVisible();
  await accessible(page, 'a test');
  await dialog.getByRole('button', { name: 'Close', exact: true }).last().click();
  await expect(page.locator('[data-webhook] .pill.ok')).toHaveText(/^200 · \d+ ms$/);
  await accessible(page, 'the list');

  await page.getByRole('link', { name: receiver.url }).click();
  await page.getByRole('button', { name: 'Edit' }).click();
  await expect(dialog.getByLabel('All of import.*')).toBeChecked();
  await dialog.getByLabel('URL').fill(receiver.url + '/new');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('heading', { name: receiver.url + '/new' })).toBeVisible();

  await page.getByRole('button', { name: 'Delete' }).click();
  await accessible(page, 'a deletion');
  await dialog.getByRole('button', { name: 'Delete webhook' }).click();
  await expect(page.getByRole('heading', { name: 'No webhooks yet' })).toBeVisible();
});

test('deliveries come in live, can be looked at and sent again', async ({ page, request }) => {
  const w = await hook(request, { events: ['product.*'] });
  await open(page, `/webhooks/${w.id}`);
  await expect(page.getByRole('heading', { name: 'No deliveries yet' })).toBeVisible();
  receiver.answer = '<script>document.title = "hacked"</script>';
  await makeProduct(request, 'LIVE');
  const first = page.locator('[data-delivery]').first();
  await expect(first).toContainText('product.created');
  await expect(first).toContainText('Delivered');
  await accessible(page, 'deliveries');

  receiver.status = 500;
  const id = await makeProduct(request, 'FAIL');
  await expect(page.locator('[data-delivery]')).toHaveCount(2);
  await expect(first).toContainText('Retrying');
  await page.getByRole('button', { name: 'Retrying' }).click();
  await expect(page.locator('[data-delivery]')).toHaveCount(1);
  await expect(page).toHaveURL(/show=retrying/);
  await first.getByRole('link').click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByText('The receiver answered, but not with success')).toBeVisible();
  await expect(dialog.getByText(receiver.answer)).toBeVisible();
  await expect(dialog.getByText(`"id": ${id}`)).toBeVisible();
  await expect(dialog.getByText(/^Next try/)).toBeVisible();
  await accessible(page, 'a delivery');
  await page.reload(); // it has an address
  await expect(dialog.getByRole('heading', { name: /^Delivery/ })).toBeVisible();

  receiver.status = 200;
  const before = receiver.got.length;
  await dialog.getByRole('button', { name: 'Resend' }).click();
  await expect.poll(() => receiver.got.length).toBeGreaterThan(before);
  await expect(dialog.locator('.line').first()).toContainText('Delivered');
  const ids = receiver.got.map((g) => g.headers['webhook-id']);
  expect(ids.at(-1)).toBe(ids.at(-2)); // the same one again
  await dialog.getByRole('button', { name: 'Close', exact: true }).last().click();
  await expect(page).not.toHaveURL(/delivery=/);
  expect(await page.title()).not.toContain('hacked');
});

test('a receiver that is gone disables its webhook, and what was cancelled can be sent again', async ({ page, request }) => {
  const w = await hook(request, { events: ['product.*'] });
  await open(page, '/webhooks');
  receiver.status = 410;
  await makeProduct(request, 'GONE');
  await expect(page.getByRole('alert').filter({ hasText: 'was disabled' })).toContainText('410 Gone');
  await accessible(page, 'a disabled webhook');
  receiver.status = 200;
  await page.getByRole('button', { name: 'Switch on again' }).click();
  await expect(page.getByRole('alert').filter({ hasText: 'was disabled' })).toHaveCount(0);
  await page.goto(`/webhooks/${w.id}`);
  await page.getByRole('button', { name: 'Failed', exact: true }).click();
  await expect(page.locator('[data-delivery]')).toContainText('Cancelled');
  await page.getByRole('button', { name: 'Resend failed…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Resend' }).click();
  await expect(dialog.getByText('1 delivery is sent again.')).toBeVisible();
  await accessible(page, 'failed ones are sent again');
  await dialog.getByRole('button', { name: 'Close', exact: true }).last().click();
  await page.getByRole('button', { name: 'All', exact: true }).click();
  await expect(page.locator('[data-delivery]')).toContainText('Delivered');
});

test('the switch goes back when the server refuses', async ({ page, request }) => {
  const w = await hook(request);
  await open(page, '/webhooks');
  await page.route('**/api/webhooks/*', (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"code":"unavailable","detail":"The database cannot be reached right now."}' }));
  const on = row(page, w).getByRole('switch');
  await on.click();
  await expect(page.getByText('The webhook was not switched off. The database cannot be reached right now.')).toBeVisible();
  await expect(on).toBeChecked();
  await page.unroute('**/api/webhooks/*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(on).not.toBeChecked();
});

test('a change by somebody else is not overwritten unseen', async ({ page, request }) => {
  const w = await hook(request);
  await open(page, `/webhooks/${w.id}`);
  await page.getByRole('button', { name: 'Edit' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('URL').fill(receiver.url + '/mine');
  await request.patch(`/api/webhooks/${w.id}`, { data: { url: receiver.url + '/theirs' } });
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.getByText('Somebody changed this webhook meanwhile.')).toBeVisible();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('heading', { name: receiver.url + '/mine' })).toBeVisible();
});

test('the secret is revealed when asked for, and rotated', async ({ page, request }) => {
  const w = await hook(request);
  await open(page, `/webhooks/${w.id}`);
  await page.getByRole('button', { name: 'Reveal' }).click();
  await expect(page.locator('[data-secret]')).toHaveText(w.secret!);
  await page.getByRole('button', { name: 'Rotate' }).click();
  await expect(page.locator('[data-secret]')).not.toHaveText(w.secret!);
  await expect(page.getByText(/The secret before signs, too, until/)).toBeVisible();
  await page.getByRole('button', { name: 'Hide' }).click();
  await expect(page.locator('[data-secret]')).toHaveCount(0);
});

test('event types show what comes, and how to check it', async ({ page }) => {
  await open(page, '/webhooks/events');
  await expect(page.getByRole('heading', { name: 'import.completed' })).toBeVisible();
  await page.locator('section', { has: page.getByRole('heading', { name: 'products.changed' }) }).getByText('Example').click();
  await expect(page.getByText('"skus"').first()).toBeVisible();
  await accessible(page, 'event types');
});

test('lists that cannot be loaded say so, and nothing is wider than a phone', async ({ page, request }) => {
  const w = await hook(request, { url: receiver.url + '/' + 'a-long-path/'.repeat(20), events: ['import.*', 'product.*', 'products.*'] });
  await makeProduct(request, 'PHONE');
  await page.setViewportSize({ width: 390, height: 800 });
  for (const path of ['/webhooks', `/webhooks/${w.id}`, '/webhooks/events']) {
    await open(page, path);
    await expect(page.locator('[data-webhook], [data-delivery], section h2').first()).toBeVisible();
    expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(390);
    for (const scheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      await accessible(page, `${path}, ${scheme}`);
    }
  }
  // It is back when somebody presses the button: the page asks by itself, too.
  await page.addInitScript(() => addEventListener('click', () => (document.documentElement.dataset.pressed = ''), { capture: true }));
  await page.route('**/api/webhooks', async (route) => {
    if (await page.evaluate(() => 'pressed' in document.documentElement.dataset)) return route.continue();
    return route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"code":"unavailable","detail":"The database cannot be reached right now."}' });
  });
  await page.goto('/webhooks');
  await expect(page.getByRole('heading', { name: 'Webhooks could not be loaded' })).toBeVisible();
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(row(page, w)).toBeVisible();
});
