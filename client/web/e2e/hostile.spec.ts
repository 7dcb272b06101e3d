import type { APIRequestContext, Page } from '@playwright/test';
import type { Import } from '../src/lib/imports/types.ts';
import type { Webhook } from '../src/lib/webhooks/types.ts';
import { expect, isLive, test, writeFile } from './fixtures.ts';
import { Receiver } from './receiver.ts';
import { startServer, type Running } from './server.ts';

test.use({ allowed: /responded with a status of (401|404|422)/ });

/** Would run in a page that takes text for markup, in one of several ways. */
const evil = `<img src=x onerror="hacked=1">"'></textarea><script>hacked=1</script><a href="javascript:hacked=1">x</a><svg onload=hacked=1>{{7*7}}\${7*7}`;
const token = 'a-token-of-a-browser-test';

/** What the page has been made to do that it should not. */
type Seen = { violations: string[]; hacked?: unknown };

let server: Running;
let receiver: Receiver;
test.beforeAll(async () => {
  server = await startServer({ IMPORTER_ADMIN_TOKEN: token, IMPORTER_WEBHOOK_ALLOW_PRIVATE: 'true' });
  receiver = new Receiver();
  receiver.answer = evil;
  await receiver.start();
});
test.afterAll(async () => {
  receiver.stop();
  await server.stop();
});

/** Counts what runs, and looks at the headers of everything that the server sends. */
async function guard(page: Page) {
  const wrong: string[] = [];
  page.on('dialog', (d) => {
    if (d.type() === 'beforeunload') return void d.accept(); // the answer to the last part of an upload may be late
    wrong.push(`a dialog: ${d.message()}`);
    void d.dismiss();
  });
  page.on('response', (r) => {
    const h = r.headers();
    const policy = h['content-security-policy'] ?? '';
    if (!policy.startsWith("default-src 'none'") || policy.includes('unsafe') || h['x-content-type-options'] !== 'nosniff') wrong.push(`${r.status()} ${r.url()}: ${policy}`);
  });
  page.on('request', (r) => {
    if (!r.url().startsWith(server.url) && !/^(data|blob|about|ws):/.test(r.url())) wrong.push(`asks for ${r.url()}`);
  });
  await page.addInitScript(() => {
    const seen = window as unknown as Seen;
    seen.violations = [];
    document.addEventListener('securitypolicyviolation', (e) => seen.violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
  });
  return async (where: string) => {
    const seen = await page.evaluate(() => {
      const { violations, hacked } = window as unknown as Seen;
      const markup = [...document.querySelectorAll('img[src=x], script:not([src]), svg[onload], iframe, a[href^="javascript:" i], [onerror], [onload]')].map((e) => e.outerHTML);
      return { violations, hacked, markup };
    });
    expect.soft({ ...seen, wrong }, where).toEqual({ violations: [], hacked: undefined, markup: [], wrong: [] });
  };
}

async function plant(request: APIRequestContext) {
  const headers = { Authorization: `Bearer ${token}` };
  const made = async (path: string, data: object) => {
    const answer = await request.post(server.url + path, { headers, data });
    expect(answer.ok(), await answer.text()).toBe(true);
    return answer.json() as Promise<unknown>;
  };
  const hook = (await made('/api/webhooks', { url: `${receiver.url}/${encodeURIComponent(evil)}?a=<b>`, events: ['*'], headers: { 'X-Evil': evil } })) as Webhook;
  await made('/api/tokens', { name: evil.slice(0, 100), scope: 'read' });
  await made('/api/products', { sku: evil, name: evil, description: evil });
  const session = await request.post(server.url + '/api/session', { headers: { 'User-Agent': evil }, data: { password: token } });
  expect(session.ok()).toBe(true);
  return hook;
}

test('hostile text is text on every page, and nothing of it runs', async ({ page, request }) => {
  const hook = await plant(request);
  const check = await guard(page);
  const visit = async (path: string) => {
    await page.goto(server.url + path);
    await isLive(page);
  };
  const close = () => page.keyboard.press('Escape');
  const dialog = page.getByRole('dialog');

  await page.goto(`${server.url}/${encodeURIComponent(evil)}?q=${encodeURIComponent(evil)}#${encodeURIComponent(evil)}`);
  await page.getByLabel('Password').fill(evil);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await check('a refused sign-in');
  await page.getByLabel('Password').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('heading', { name: 'Page not found' })).toBeVisible();
  await check('an address that is not there');

  // A file whose name, headers and rows are hostile: in the preview, while it is imported, and afterwards.
  await visit('/');
  const name = `${evil.replaceAll(/[/\\]/g, '')}.csv`.slice(0, 120);
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const cell = quoted(evil);
  await page.setInputFiles('input[type=file]', {
    name, mimeType: 'text/csv', buffer: Buffer.from(`sku,${cell},${quoted(evil + 'x')}\n${cell},${cell},${cell}\n,${cell},${cell}\n${quoted(evil + '2')},,\n`),
  });
  await expect(page.getByRole('heading', { name, exact: true })).toBeVisible();
  await check('a preview that asks for columns');
  await page.locator('#column-name').selectOption(evil);
  await page.locator('#column-description').selectOption(`${evil}x`);
  await page.getByRole('button', { name: /^Import/ }).click();
  await expect(page.locator('[data-import]')).toHaveAttribute('data-state', 'completed');
  await check('the list of imports');
  const { items } = (await (await request.get(server.url + '/api/imports', { headers: { Authorization: `Bearer ${token}` } })).json()) as { items: Import[] };
  await visit(`/imports/${items[0]!.id}`);
  await expect(page.getByRole('cell', { name: evil }).first()).toBeVisible(); // a rejected row
  await check('an import with its rejected rows');
  await visit(`/imports/${encodeURIComponent(evil)}`);
  await check('an import that is not there');

  // A file that fails as a whole names what it has.
  await visit('/');
  await page.setInputFiles('input[type=file]', writeFile('failing.csv', `${cell},b\n1,2\n`));
  await expect(page.getByText(/No column for sku/)).toBeVisible();
  await check('a file without its columns');
  const failed = await request.post(`${server.url}/api/imports?filename=${encodeURIComponent(evil)}`, { headers: { Authorization: `Bearer ${token}` }, data: Buffer.from(`${cell},b\n1,2\n`) });
  const { id } = (await failed.json()) as { id: string };
  await visit(`/imports/${id}`);
  await expect(page.locator('[data-failure]')).toBeVisible();
  await check('an import that failed');

  await visit(`/products?q=${encodeURIComponent(evil)}&sort=${encodeURIComponent(evil)}&sku=<b>`);
  await check('a search for it');
  await visit('/products');
  await expect(page.locator('td.name').first()).toHaveText(evil);
  await check('the catalogue');
  await page.getByRole('button', { name: /^Edit / }).first().click();
  await expect(dialog.getByLabel('Name')).toHaveValue(evil);
  await check('a product');
  await close();
  await page.getByRole('button', { name: /^Delete </ }).first().click();
  await expect(dialog).toContainText(evil);
  await check('a deletion');
  await close();

  await visit('/webhooks');
  await check('the list of webhooks');
  await page.getByRole('button', { name: /^Test / }).click();
  await expect(dialog.getByText(evil)).toBeVisible();
  await check('a test with a hostile answer');
  await close();
  await visit(`/webhooks/${hook.id}`);
  await expect(page.locator('[data-delivery]').first()).toBeVisible();
  await check('a webhook');
  await page.locator('[data-delivery]').first().getByRole('link').click();
  await expect(dialog.getByText(evil).first()).toBeVisible();
  await check('a delivery');
  await visit(`/webhooks/${hook.id}?delivery=${encodeURIComponent(evil)}&show=${encodeURIComponent(evil)}`);
  await check('a delivery that is not there');
  await visit('/webhooks/events');
  await check('event types');

  await visit('/settings');
  await expect(page.locator('[data-token]')).toContainText('<img src=x');
  await expect(page.locator('[data-session]', { hasText: '<img src=x' })).toBeVisible();
  await check('settings');
  await visit('/status');
  await check('status');
  await page.goto(server.url + '/docs');
  await check('the API for people');
  await page.goto(server.url + '/nothing.html');
  await check('a file that is not there');
});
