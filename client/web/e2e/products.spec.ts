import type { APIRequestContext, Locator, Page, Route } from '@playwright/test';
import type { Product, ProductPage } from '../src/lib/products/types.ts';
import { accessible, expect, importByApi, isLive, open, test, writeFile } from './fixtures.ts';

// What these tests provoke on purpose.
test.use({ allowed: /responded with a status of (412|422|503)/ });

const rows = (page: Page) => page.locator('[data-product]');
const row = (page: Page, sku: string) => rows(page).filter({ has: page.getByText(sku, { exact: true }) });
const active = (scope: Page | Locator, sku: string) => scope.getByRole('switch', { name: `${sku} is active` });
const search = (page: Page) => page.getByRole('searchbox', { name: 'Search SKU, name and description' });
const field = (page: Page, name: string) => page.getByRole('dialog').getByRole('textbox', { name });
const count = (page: Page) => page.locator('.head [role=status]');

/** Imports n products with a prefix of their own, and waits until they are there. */
async function stock(request: APIRequestContext, prefix: string, n: number, line = (i: number) => `Lamp ${i},Description ${i}`) {
  const lines = Array.from({ length: n }, (_, i) => `${prefix}-${String(i + 1).padStart(3, '0')},${line(i + 1)}`);
  const id = await importByApi(request, `${prefix}.csv`, ['sku,name,description', ...lines].join('\n') + '\n');
  await expect.poll(async () => ((await (await request.get(`/api/imports/${id}`)).json()) as { state: string }).state).toBe('completed');
}

async function add(request: APIRequestContext, fields: Partial<Product>): Promise<Product> {
  const answer = await request.post('/api/products', { data: { name: 'Lamp', ...fields } });
  expect(answer.status(), await answer.text()).toBe(201);
  return (await answer.json()) as Product;
}

async function change(request: APIRequestContext, p: Product, fields: Partial<Product>) {
  const answer = await request.patch(`/api/products/${p.id}`, { data: fields });
  expect(answer.ok(), await answer.text()).toBe(true);
}

/** Notes the requests for lists, from now on. */
function asked(page: Page): string[] {
  const all: string[] = [];
  page.on('request', (r) => {
    const url = new URL(r.url());
    if (url.pathname === '/api/products' && r.method() === 'GET') all.push(url.searchParams.get('q') ?? '');
  });
  return all;
}

/** The address of one product; `/api/products/*` would catch `/api/products/indexing` as well. */
const one = /\/api\/products\/\d+$/;

const refuse = (status: number, code: string, detail: string) => (r: Route) =>
  r.fulfill({ status, contentType: 'application/problem+json', body: JSON.stringify({ type: 'about:blank', title: 'No', status, code, detail }) });

test('typing searches all three fields, without a request a key', async ({ page, request }) => {
  await add(request, { sku: 'TYPE-zebra', name: 'One' });
  await add(request, { sku: 'TYPE-2', name: 'A ZEBRA, two' });
  await add(request, { sku: 'TYPE-3', name: 'Three', description: 'striped like a zebra' });
  await add(request, { sku: 'TYPE-4', name: 'Four', active: false });
  await open(page, '/products');
  await expect(rows(page).first()).toBeVisible();
  const requests = asked(page);
  await page.keyboard.press('/');
  await expect(search(page)).toBeFocused();
  await page.keyboard.type('zebra', { delay: 40 });
  await expect(rows(page)).toHaveCount(3);
  await expect(page).toHaveURL('/products?q=zebra');
  await expect(count(page)).toHaveText('3 products match');
  expect(requests.filter((q) => q && q !== 'zebra')).toEqual([]);

  await page.getByRole('searchbox', { name: 'Filter by name' }).fill('two ');
  await expect(rows(page)).toHaveCount(1);
  await expect(page).toHaveURL('/products?q=zebra&name=two');
  await expect(page.getByRole('searchbox', { name: 'Filter by name' })).toHaveValue('two '); // the space may be the beginning of a word
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await expect(page).toHaveURL('/products');
  await expect(search(page)).toHaveValue('');

  await page.getByRole('searchbox', { name: 'Filter by SKU' }).fill('type-');
  await page.getByRole('combobox', { name: 'Filter by status' }).selectOption('Inactive');
  await expect(rows(page)).toHaveCount(1);
  await expect(row(page, 'TYPE-4')).toBeVisible();
  await expect(page).toHaveURL('/products?sku=type-&active=false');
  await page.reload();
  await expect(row(page, 'TYPE-4')).toBeVisible();
  await expect(page.getByRole('combobox', { name: 'Filter by status' })).toHaveValue('false');

  await page.getByRole('searchbox', { name: 'Filter by description' }).fill('%');
  await expect(page.getByRole('heading', { name: 'No product matches' })).toBeVisible();
  await page.getByRole('button', { name: 'Clear', exact: true }).click();
  await expect(rows(page).nth(3)).toBeVisible();
});

test('a word that is being composed is not searched for', async ({ page, request, context }) => {
  await add(request, { sku: 'IME-1', name: '照明 lamp' });
  await open(page, '/products');
  await expect(rows(page).first()).toBeVisible();
  const requests = asked(page);
  await search(page).focus();
  const keys = await context.newCDPSession(page);
  for (const text of ['s', 'sho', 'しょう', 'しょうめい']) {
    await keys.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length });
  }
  // A search would be asked for within the pause between keys.
  await page.evaluate(() => new Promise((done) => setTimeout(done, 400)));
  expect(requests.filter(Boolean)).toEqual([]);
  await keys.send('Input.insertText', { text: '照明' });
  await expect(rows(page)).toHaveCount(1);
  await expect(page).toHaveURL(`/products?q=${encodeURIComponent('照明')}`);
});

test('an answer that comes late does not replace a newer one', async ({ page, request }) => {
  await add(request, { sku: 'LATE-1', name: 'Quartz' });
  await add(request, { sku: 'LATE-2', name: 'Quarry' });
  await open(page, '/products');
  await expect(rows(page).first()).toBeVisible();
  let held: Route | undefined;
  await page.route('/api/products?q=qua&*', (r) => void (held = r));
  await search(page).pressSequentially('qua');
  await expect.poll(() => held).toBeTruthy();
  await expect(page.locator('.rows.dim')).toBeVisible(); // the old rows, until there are others
  await expect(count(page)).toHaveText(/products$/); // and their count
  await search(page).pressSequentially('rtz');
  await expect(rows(page)).toHaveCount(1);
  await held!.continue().catch(() => {}); // it was aborted, as it should be
  await page.evaluate(() => new Promise((done) => setTimeout(done, 300)));
  await expect(rows(page)).toHaveCount(1);
  await expect(row(page, 'LATE-1')).toBeVisible();

  // Nothing matches, and then an answer without filters is awaited: the catalogue is not empty meanwhile.
  await search(page).fill('nothing has this');
  await expect(page.getByRole('heading', { name: 'No product matches' })).toBeVisible();
  held = undefined;
  await page.route('/api/products?sort=*', (r) => void (held = r));
  await page.getByRole('button', { name: 'Clear', exact: true }).click();
  await expect.poll(() => held).toBeTruthy();
  await expect(page.getByRole('heading', { name: 'No product matches' })).toBeVisible();
  await held!.continue();
  await expect(rows(page).first()).toBeVisible();
});

test('pages, order and filters are in the address, and Back and Forward go through them', async ({ page, request }) => {
  await stock(request, 'PAGE', 60);
  await open(page);
  await page.keyboard.press('g');
  await page.keyboard.press('p');
  await expect(page.getByRole('heading', { name: 'Products', exact: true })).toBeFocused();
  await expect(page).toHaveTitle('Products · Product Importer');
  await page.getByRole('searchbox', { name: 'Filter by SKU' }).fill('PAGE-');
  await expect(page.getByText('1–25 of 60')).toBeVisible();
  await expect(rows(page)).toHaveCount(25);

  await page.getByRole('link', { name: 'Next page' }).click();
  await expect(page.getByText('26–50 of 60')).toBeVisible();
  await expect(row(page, 'PAGE-026')).toBeVisible();
  await expect(page).toHaveURL('/products?sku=PAGE-&page=2');
  await page.getByRole('link', { name: 'Page 3' }).click();
  await expect(rows(page)).toHaveCount(10);
  await expect(page.getByRole('link', { name: 'Page 3' })).toHaveAttribute('aria-current', 'page');
  await expect(page.getByRole('link', { name: 'Next page' })).toHaveAttribute('aria-disabled', 'true');
  await page.getByRole('link', { name: 'Previous page' }).click();
  await expect(row(page, 'PAGE-026')).toBeVisible();
  await expect(rows(page)).toHaveCount(25);

  await page.getByRole('button', { name: 'Name' }).click();
  await expect(page.getByRole('columnheader', { name: 'Name' })).toHaveAttribute('aria-sort', 'ascending');
  await page.getByRole('button', { name: 'Name' }).click();
  await expect(page.getByRole('columnheader', { name: 'Name' })).toHaveAttribute('aria-sort', 'descending');
  await expect(rows(page).first()).toContainText('Lamp 9');
  await expect(page).toHaveURL('/products?sku=PAGE-&sort=-name');

  await page.goBack();
  await page.goBack();
  await expect(page).toHaveURL('/products?sku=PAGE-&page=2');
  await expect(row(page, 'PAGE-026')).toBeVisible();
  await page.goBack();
  await page.goBack();
  await page.goBack();
  await expect(page).toHaveURL('/products?sku=PAGE-');
  await expect(page.getByText('1–25 of 60')).toBeVisible();
  await page.goForward();
  await expect(page.getByText('26–50 of 60')).toBeVisible();
  await page.goBack();
  await page.goBack(); // typing a filter is no step of its own
  await expect(page).toHaveURL('/');

  await open(page, '/products?sku=PAGE-&page=3');
  await expect(page.getByText('51–60 of 60')).toBeVisible();
  await open(page, '/products?sku=PAGE-&page=99');
  await expect(page.getByText('51–60 of 60')).toBeVisible();
  await expect(page).toHaveURL('/products?sku=PAGE-&page=3');
});

test('a product is added; what is wrong is said at its field', async ({ page, request }) => {
  await add(request, { sku: 'NEW-1' });
  await open(page, '/products');
  await page.keyboard.press('n');
  const dialog = page.getByRole('dialog', { name: 'Add a product' });
  await expect(field(page, 'SKU')).toBeFocused();
  await dialog.getByRole('button', { name: 'Add product' }).click();
  await expect(field(page, 'SKU')).toHaveAccessibleDescription('A product needs a SKU.');
  await expect(field(page, 'Name')).toHaveAccessibleDescription('A product needs a name.');
  await expect(field(page, 'SKU')).toBeFocused();

  await field(page, 'SKU').fill('new-1');
  await field(page, 'Name').fill('New lamp');
  await page.keyboard.press('Enter');
  await expect(field(page, 'SKU')).toHaveAccessibleDescription('Another product already has this SKU (upper and lower case count as the same).');
  await expect(field(page, 'SKU')).toBeFocused();
  await expect(field(page, 'Name')).toHaveAttribute('aria-invalid', 'false');
  await accessible(page, 'field errors');

  await field(page, 'SKU').fill('NEW-2');
  await field(page, 'Description').fill('Line 1\nLine 2');
  await dialog.getByRole('switch', { name: 'Active' }).click();
  await dialog.getByRole('button', { name: 'Add product' }).click();
  await expect(dialog).toBeHidden();
  await expect(page.getByText('NEW-2 was added.')).toBeVisible();
  await page.getByRole('button', { name: 'Show' }).click();
  await expect(page).toHaveURL('/products?sku=NEW-2');
  await expect(rows(page)).toHaveCount(1);
  await expect(active(page, 'NEW-2')).toHaveAttribute('aria-checked', 'false');
  await page.getByRole('button', { name: 'New lamp' }).click();
  await expect(field(page, 'Description')).toHaveValue('Line 1\nLine 2');
});

test('a product whose answer was lost is not added twice', async ({ page, request }) => {
  await open(page, '/products?sku=LOST-');
  await page.getByRole('button', { name: 'Add product' }).click();
  const dialog = page.getByRole('dialog');
  await field(page, 'SKU').fill('LOST-1');
  await field(page, 'Name').fill('Lost');
  await page.route('/api/products', async (r) => {
    expect((await r.fetch()).status()).toBe(201);
    await r.abort();
  }, { times: 1 });
  await dialog.getByRole('button', { name: 'Add product' }).click();
  await expect(dialog.getByRole('alert')).toHaveText('The server cannot be reached. Check the connection and try again.');
  await dialog.getByRole('button', { name: 'Add product' }).click();
  await expect(dialog).toBeHidden();
  await expect(rows(page)).toHaveCount(1);
  expect(await (await request.get('/api/products?sku=LOST-')).json()).toMatchObject({ total: 1 });
});

test('what was typed is not lost without a question', async ({ page, request }) => {
  await add(request, { sku: 'KEEP-1', name: 'Kept' });
  await open(page, '/products?sku=KEEP-');
  const dialog = page.getByRole('dialog');
  const edit = page.getByRole('button', { name: 'Edit KEEP-1' });
  await edit.click();
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
  await expect(edit).toBeFocused();

  await edit.click();
  await field(page, 'Name').fill('Typed with care');
  for (const leave of [() => page.keyboard.press('Escape'), () => page.mouse.click(5, 5), () => dialog.getByRole('button', { name: 'Close' }).click()]) {
    await leave();
    await expect(dialog.getByText('What you changed is not saved.')).toBeVisible();
    await expect(dialog.getByRole('button', { name: 'Keep editing' })).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(dialog.getByText('What you changed is not saved.')).toBeHidden();
    await expect(field(page, 'Name')).toHaveValue('Typed with care');
  }
  for (let i = 0; i < 4; i++) await page.keyboard.press('Escape'); // however often
  await expect(field(page, 'Name')).toHaveValue('Typed with care');
  await page.keyboard.press('Escape');
  await accessible(page, 'question');
  await dialog.getByRole('button', { name: 'Discard changes' }).click();
  await expect(dialog).toBeHidden();
  await expect(row(page, 'KEEP-1')).toContainText('Kept');

  await edit.click();
  await field(page, 'Name').fill('Saved');
  await page.route(one, refuse(503, 'unavailable', 'The database is away.'), { times: 1 });
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  await expect(dialog.getByRole('alert')).toHaveText('Nothing was saved. The database is away.');
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  await expect(dialog).toBeHidden();
  await expect(row(page, 'KEEP-1')).toContainText('Saved');
});

test('a change that somebody else was faster with is shown, and either can be taken', async ({ page, request }) => {
  const p = await add(request, { sku: 'BOTH-1', name: 'First', description: 'Old' });
  await open(page, '/products?sku=BOTH-');
  const dialog = page.getByRole('dialog');
  await page.getByRole('button', { name: 'Edit BOTH-1' }).click();
  await field(page, 'Name').fill('Mine');
  await change(request, p, { name: 'Theirs', description: 'New' });
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  const met = dialog.getByRole('alert');
  await expect(met).toContainText('BOTH-1 was changed while you edited it');
  await expect(met.locator('dl > div')).toHaveText([/Name\s*Saved now\s*Theirs\s*Yours\s*Mine/, /Description\s*Saved now\s*New\s*Yours\s*not changed by you/]);
  await accessible(page, 'both changed');
  await met.getByRole('button', { name: 'Save mine' }).click();
  await expect(dialog).toBeHidden();
  expect(await (await request.get(`/api/products/${p.id}`)).json()).toMatchObject({ name: 'Mine', description: 'New' });

  await page.getByRole('button', { name: 'Edit BOTH-1' }).click();
  await field(page, 'Name').fill('Mine again');
  await change(request, p, { name: 'Theirs again' });
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  await met.getByRole('button', { name: 'Take the saved one' }).click();
  await expect(field(page, 'Name')).toHaveValue('Theirs again');
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();

  // Deleted meanwhile.
  await page.getByRole('button', { name: 'Edit BOTH-1' }).click();
  await field(page, 'Name').fill('Too late');
  expect((await request.delete(`/api/products/${p.id}`)).status()).toBe(204);
  await dialog.getByRole('button', { name: 'Save changes' }).click();
  await expect(dialog.getByRole('alert')).toHaveText('Nothing was saved. It was deleted meanwhile.');
});

test('the switch moves at once, and back when the server refuses', async ({ page, request }) => {
  const p = await add(request, { sku: 'FLIP-1' });
  await open(page, '/products?sku=FLIP-');
  const flip = active(page, 'FLIP-1');
  let held: Route | undefined;
  await page.route(one, (r) => void (held = r), { times: 1 });
  await flip.click();
  await expect.poll(() => held).toBeTruthy();
  await expect(flip).toHaveAttribute('aria-checked', 'false'); // the server has said nothing yet
  await refuse(503, 'unavailable', 'The database is away.')(held!);
  await expect(page.getByText('FLIP-1 was not changed. The database is away.')).toBeVisible();
  await expect(flip).toHaveAttribute('aria-checked', 'true');
  await accessible(page, 'refused switch');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(flip).toHaveAttribute('aria-checked', 'false');
  await expect.poll(async () => ((await (await request.get(`/api/products/${p.id}`)).json()) as Product).active).toBe(false);

  // Quicker than the answers: the last click wins.
  await flip.click();
  await flip.click();
  await flip.click();
  await expect(flip).toHaveAttribute('aria-checked', 'true');
  await expect.poll(async () => ((await (await request.get(`/api/products/${p.id}`)).json()) as Product).active).toBe(true);
  await page.reload();
  await expect(flip).toHaveAttribute('aria-checked', 'true');
});

test('a product is deleted after a question', async ({ page, request }) => {
  await add(request, { sku: 'GONE-1', name: 'Staying' });
  await add(request, { sku: 'GONE-2', name: 'Leaving' });
  await open(page, '/products?sku=GONE-');
  await page.getByRole('button', { name: 'Delete GONE-2' }).click();
  const dialog = page.getByRole('dialog', { name: 'Delete this product?' });
  await expect(dialog.getByRole('button', { name: 'Keep product' })).toBeFocused();
  await accessible(page, 'delete one');
  await dialog.getByRole('button', { name: 'Keep product' }).click();
  await expect(rows(page)).toHaveCount(2);
  await page.getByRole('button', { name: 'Delete GONE-2' }).click();
  await page.route(one, refuse(503, 'unavailable', 'The database is away.'), { times: 1 });
  await dialog.getByRole('button', { name: 'Delete product' }).click();
  await expect(dialog.getByRole('alert')).toHaveText('GONE-2 was not deleted. The database is away.');
  await dialog.getByRole('button', { name: 'Delete product' }).click();
  await expect(dialog).toBeHidden();
  await expect(rows(page)).toHaveCount(1);
  await expect(count(page)).toHaveText('1 product matches');
  await expect(page.getByRole('region', { name: 'Table of products' })).toBeFocused();
});

test('what another tab does shows here', async ({ page, context, request }) => {
  await add(request, { sku: 'TWIN-1', name: 'Before' });
  await add(request, { sku: 'TWIN-2', name: 'Other' });
  await open(page, '/products?sku=TWIN-');
  await expect(rows(page)).toHaveCount(2);
  const other = await context.newPage();
  await open(other, '/products?sku=TWIN-');

  await other.getByRole('button', { name: 'Edit TWIN-1' }).click();
  await field(other, 'Name').fill('After');
  await other.getByRole('button', { name: 'Save changes' }).click();
  await expect(row(page, 'TWIN-1')).toContainText('After');
  await expect(row(page, 'TWIN-1')).toHaveClass(/fresh/);
  await expect(row(other, 'TWIN-1')).not.toHaveClass(/fresh/); // it is no news there
  await expect(row(page, 'TWIN-1')).not.toHaveClass(/fresh/);

  await active(other, 'TWIN-2').click();
  await expect(active(page, 'TWIN-2')).toHaveAttribute('aria-checked', 'false');

  await other.getByRole('button', { name: 'Delete TWIN-2' }).click();
  await other.getByRole('button', { name: 'Delete product' }).click();
  await expect(row(page, 'TWIN-2')).toContainText('Deleted');
  await expect(page.getByRole('button', { name: 'Edit TWIN-2' })).toHaveCount(0);
  await expect(rows(other)).toHaveCount(1);

  // Rows move only while nobody's hands are on them.
  await row(page, 'TWIN-1').hover();
  await add(request, { sku: 'TWIN-0', name: 'Added' });
  await expect(page.getByText('1 product changed')).toBeVisible();
  await expect(rows(page)).toHaveCount(2);
  await page.getByRole('button', { name: 'Refresh' }).click();
  await expect(rows(page)).toHaveText([/TWIN-0/, /TWIN-1/]);
  await expect(page.getByText('1 product changed')).toBeHidden();
  await page.mouse.move(0, 0);
  await page.getByRole('button', { name: 'Refresh' }).waitFor({ state: 'hidden' });
  await search(page).focus();
  await add(request, { sku: 'TWIN-3', name: 'Added too' });
  await expect(row(page, 'TWIN-3')).toBeVisible();
  await expect(other.getByText(/products? changed/)).toBeVisible(); // its focus is on the table
});

test('an import in another tab is told, and shown when asked for', async ({ page, context, request }) => {
  await stock(request, 'BULK', 30);
  await open(page, '/products?sku=BULK-');
  await expect(row(page, 'BULK-001')).toContainText('Lamp 1');
  const other = await context.newPage();
  await open(other);
  const lines = Array.from({ length: 1200 }, (_, i) => `BULK-${String(i + 1).padStart(3, '0')},Chair ${i + 1}`);
  await other.setInputFiles('input[type=file]', writeFile('bulk.csv', `sku,name\n${lines.join('\n')}\n`));
  await other.getByRole('button', { name: /^Import/ }).click();
  await expect(page.getByText('1,200 products changed')).toBeVisible();
  await expect(row(page, 'BULK-001')).toContainText('Lamp 1');
  await accessible(page, 'changed elsewhere');
  await page.getByRole('button', { name: 'Refresh' }).click();
  await expect(row(page, 'BULK-001')).toContainText('Chair 1');
  await expect(page.getByText('1–25 of 1,200')).toBeVisible();
});

test('a cut of the connection hides nothing that happened meanwhile', async ({ page, request }) => {
  const p = await add(request, { sku: 'WIRE-1', name: 'Before' });
  let up = true;
  let hangUp = () => {};
  await page.routeWebSocket('/ws', (ws) => {
    if (!up) {
      void ws.close({ code: 1013 });
      return;
    }
    ws.connectToServer();
    hangUp = () => void ws.close({ code: 1012 });
  });
  await open(page, '/products?sku=WIRE-');
  await expect(row(page, 'WIRE-1')).toBeVisible();
  up = false;
  hangUp();
  await expect(page.locator('[data-status=reconnecting]')).toBeAttached();
  await change(request, p, { name: 'Meanwhile' });
  up = true;
  await isLive(page);
  await expect(row(page, 'WIRE-1')).toContainText('Meanwhile');
});

const hostile = [
  '<img src=x onerror=alert(1)>', '"><script>alert(1)</script>', '{{constructor.constructor("alert(1)")()}}', "'; DROP TABLE products; --",
  '<svg/onload=alert(1)>', 'javascript:alert(1)', 'a\u202Egnp.exe', '${7*7} {@html x}', '=HYPERLINK("http://evil","x")', 'x'.repeat(512),
];

test('names are text, whatever they say', async ({ page, request }) => {
  let dialogs = 0;
  page.on('dialog', (d) => {
    dialogs++;
    void d.dismiss();
  });
  for (const [i, name] of hostile.entries()) await add(request, { sku: `EVIL-${i}<b>`, name, description: `${name}</textarea><script>alert(2)</script>` });
  await open(page, '/products?sku=EVIL-');
  await expect(rows(page)).toHaveCount(hostile.length);
  const names = rows(page).locator('td.name');
  for (const [i, name] of hostile.entries()) await expect(names.nth(i)).toHaveText(name);
  await page.getByRole('button', { name: 'Edit EVIL-1<b>' }).click();
  await expect(field(page, 'Name')).toHaveValue(hostile[1]!);
  await expect(field(page, 'Description')).toHaveValue(`${hostile[1]}</textarea><script>alert(2)</script>`);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Delete EVIL-0<b>' }).click();
  await expect(page.getByRole('dialog')).toContainText(hostile[0]!);
  await page.getByRole('button', { name: 'Delete product' }).click();
  await expect(page.getByText('EVIL-0<b> was deleted.')).toBeVisible();
  await open(page, `/products?q=${encodeURIComponent('<script>alert(3)</script>')}&sort=<b>`);
  await expect(search(page)).toHaveValue('<script>alert(3)</script>');
  expect(dialogs).toBe(0);
  await page.setViewportSize({ width: 390, height: 844 });
  await open(page, '/products?sku=EVIL-');
  await expect(rows(page)).toHaveCount(hostile.length - 1);
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
});

test('the catalogue is exported as it is, and for spreadsheets', async ({ page, request }) => {
  await add(request, { sku: 'CSV-1', name: '=1+1' });
  await open(page, '/products');
  const text = async (name: string) => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name, exact: true }).click()]);
    const parts: Buffer[] = [];
    for await (const part of await download.createReadStream()) parts.push(part as Buffer);
    return Buffer.concat(parts).toString();
  };
  expect(await text('Export CSV')).toContain('CSV-1,=1+1');
  expect(await text('Export CSV for spreadsheets')).toContain("CSV-1,'=1+1");
  await expect(page.getByRole('heading', { name: 'Products', exact: true })).toBeVisible();
});

test('the first load shows its shape, a failed one says why and tries again', async ({ page, request }) => {
  await add(request, { sku: 'LOAD-1' });
  const fail = refuse(503, 'unavailable', 'The database is away.');
  let answer = () => {};
  const held = new Promise<void>((resolve) => (answer = resolve));
  let failures = 0;
  await page.route('/api/products?*', async (r) => {
    await held;
    await fail(r).catch(() => {}); // some were given up
    failures++;
  });
  await open(page, '/products?sku=LOAD-');
  await expect(page.locator('tbody .skel').first()).toBeVisible();
  await accessible(page, 'skeleton');
  answer();
  await expect(page.getByRole('heading', { name: 'Products could not be loaded' })).toBeVisible();
  await expect(page.getByText('The database is away.')).toBeVisible();
  await accessible(page, 'load failed');
  // The page asks once more by itself when it has heard of the topic; were that
  // answered, there would be nothing to try again.
  await expect.poll(() => failures).toBeGreaterThan(1);
  await page.unroute('/api/products?*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(row(page, 'LOAD-1')).toBeVisible();
});

test('a count that is only a floor says so, and leads on', async ({ page }) => {
  const items = Array.from({ length: 25 }, (_, i) => ({
    id: i + 1, sku: `FLOOR-${i}`, name: 'x', description: '', active: true, version: 1, created_at: '2026-01-02T03:04:05Z', updated_at: '2026-01-02T03:04:05Z',
  }));
  const answer: ProductPage = { items, next: 'NEXT', prev: null, total: 10_000, total_is_floor: true };
  const cursors: (string | null)[] = [];
  await page.route('/api/products?*', (r) => {
    cursors.push(new URL(r.request().url()).searchParams.get('cursor'));
    return r.fulfill({ json: answer });
  });
  await open(page, '/products?q=x&page=400');
  await expect(count(page)).toHaveText('More than 10,000 products match');
  await expect(page.getByText('9,976–10,000 of more than 10,000')).toBeVisible();
  await page.getByRole('link', { name: 'Next page' }).click();
  await expect(page).toHaveURL('/products?q=x&page=401');
  await expect.poll(() => cursors).toContain('NEXT');
});

test('how far the search index is, is said while it is behind', async ({ page }) => {
  await page.clock.install();
  let pending = 288_000;
  let looks = 0;
  await page.route('/api/products/indexing', (r) => {
    looks++;
    return r.fulfill({ json: { indexed: 500_000 - pending, total: 500_000, pending } });
  });
  await open(page, '/products');
  await expect(page.getByText('Indexing for search: 212,000 of 500,000')).toBeVisible();
  pending = 0;
  await page.clock.runFor(2500);
  await expect(page.getByText('Indexing for search')).toBeHidden();
  const before = looks;
  await page.clock.runFor(20_000);
  expect(looks).toBe(before);
});

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme, contextOptions: { reducedMotion: 'reduce' } });

    test('axe finds nothing on the products page', async ({ page, request }) => {
      const prefix = `AXE${colorScheme}`;
      await stock(request, prefix, 60);
      const p = await add(request, { sku: `${prefix}-000`, name: 'First', description: 'A description', active: false });
      await open(page, `/products?sku=${prefix}-`);
      await expect(row(page, `${prefix}-000`)).toBeVisible();
      await accessible(page, 'table');
      await change(request, p, { name: 'Highlighted' });
      await expect(row(page, `${prefix}-000`)).toHaveClass(/fresh/);
      await accessible(page, 'highlight');
      await page.getByRole('button', { name: 'Highlighted' }).click();
      await accessible(page, 'edit');
      await field(page, 'Name').fill('Mine');
      await page.keyboard.press('Escape');
      await accessible(page, 'question');
      await page.getByRole('button', { name: 'Keep editing' }).click();
      await change(request, p, { name: 'Theirs' });
      await page.getByRole('button', { name: 'Save changes' }).click();
      await expect(page.getByRole('button', { name: 'Save mine' })).toBeVisible();
      await accessible(page, 'both changed');
      await page.getByRole('button', { name: 'Take the saved one' }).click();
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'Delete all', exact: true }).click();
      await accessible(page, 'delete all');
      await page.keyboard.press('Escape');
      expect((await request.delete(`/api/products/${p.id}`)).ok()).toBe(true);
      await expect(row(page, `${prefix}-000`)).toContainText('Deleted');
      await accessible(page, 'deleted row');
      await search(page).fill('nothing has this');
      await expect(page.getByRole('heading', { name: 'No product matches' })).toBeVisible();
      await accessible(page, 'no match');
      await page.setViewportSize({ width: 390, height: 844 });
      await page.getByRole('button', { name: 'Clear', exact: true }).click();
      await expect(rows(page).first()).toBeVisible();
      await accessible(page, 'phone');
    });
  });
}

test('the products page is no wider than a phone', async ({ page, request }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  const long = 'W'.repeat(200);
  const p = await add(request, { sku: `${long}-1`, name: long, description: long });
  await add(request, { sku: `${long}-2`, name: 'Short' });
  await stock(request, 'WIDE', 30);
  const wider = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await open(page, `/products?sku=${long}`);
  await expect(rows(page)).toHaveCount(2);
  expect.soft(await wider(), 'long values').toBeLessThanOrEqual(0);
  await page.getByRole('button', { name: `Edit ${long}-1` }).click();
  expect.soft(await wider(), 'dialog').toBeLessThanOrEqual(0);
  expect.soft(await page.getByRole('dialog').evaluate((d) => d.scrollWidth - d.clientWidth), 'in the dialog').toBeLessThanOrEqual(0);
  await field(page, 'Name').fill('Mine');
  await change(request, p, { name: long + long });
  await page.getByRole('button', { name: 'Save changes' }).click();
  await expect(page.getByRole('button', { name: 'Save mine' })).toBeVisible();
  expect.soft(await page.getByRole('dialog').evaluate((d) => d.scrollWidth - d.clientWidth), 'both changed').toBeLessThanOrEqual(0);
  await page.getByRole('button', { name: 'Take the saved one' }).click();
  await page.keyboard.press('Escape');
  expect((await request.delete(`/api/products/${p.id}`)).ok()).toBe(true);
  await expect(page.getByText('Deleted', { exact: true })).toBeVisible();
  expect.soft(await wider(), 'deleted row').toBeLessThanOrEqual(0);
  await open(page, '/products?sku=WIDE-');
  await page.getByRole('link', { name: 'Next page' }).click();
  await expect(rows(page)).toHaveCount(5);
  expect.soft(await wider(), 'pages').toBeLessThanOrEqual(0);
  await page.getByRole('button', { name: 'Name' }).click();
  await expect(page).toHaveURL('/products?sku=WIDE-&sort=name');
});

test('deleting all is refused while an import writes, and says which', async ({ page, request }) => {
  await add(request, { sku: 'ALL-0' });
  await open(page, '/products');
  await expect(rows(page).first()).toBeVisible();
  await page.route('/api/products?confirm=*', refuse(409, 'conflict', 'The import of "spring.csv" is writing products right now.'));
  await page.getByRole('button', { name: 'Delete all', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: 'Delete all products?' });
  await dialog.getByRole('textbox').fill('delete all');
  await dialog.getByRole('button', { name: 'Delete all products' }).click();
  await expect(dialog.getByRole('alert')).toHaveText('Nothing was deleted. The import of "spring.csv" is writing products right now.');
  await accessible(page, 'delete all refused');
  await dialog.getByRole('button', { name: 'Keep products' }).click();
  await expect(rows(page).first()).toBeVisible();
});

// The last one: it leaves no products.
test('all products are deleted after typing the words, and every tab shows it', async ({ page, context, request }) => {
  await stock(request, 'ALL', 40);
  await open(page, '/products');
  await expect(rows(page)).toHaveCount(25);
  const total = (await count(page).textContent())!;
  const other = await context.newPage();
  await open(other, '/products?sku=ALL-');
  await expect(rows(other)).toHaveCount(25);

  await page.getByRole('button', { name: 'Delete all', exact: true }).click();
  const dialog = page.getByRole('dialog');
  const button = dialog.getByRole('button', { name: 'Delete all products' });
  await expect(dialog).toContainText(`This deletes ${total}.`);
  await expect(button).toBeDisabled();
  await dialog.getByRole('textbox').fill('delete al');
  await expect(button).toBeDisabled();
  await dialog.getByRole('textbox').press('Enter');
  await dialog.getByRole('textbox').fill('delete all');
  let go = () => {};
  const held = new Promise<void>((resolve) => (go = resolve));
  await page.route('/api/products?confirm=*', async (r) => {
    await held;
    await r.continue();
  });
  await button.click();
  await expect(dialog.getByRole('progressbar')).toBeVisible();
  await accessible(page, 'deleting');
  await page.keyboard.press('Escape');
  await expect(dialog.getByText(`Deleting ${total}…`)).toBeVisible();
  go();
  await expect(dialog.getByText(`${total} were deleted.`)).toBeVisible();
  await accessible(page, 'deleted');
  await expect(dialog.getByRole('button', { name: 'Close' }).last()).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'No products yet' })).toBeVisible();
  await accessible(page, 'no products');
  await expect(other.getByRole('heading', { name: 'No products yet' })).toBeVisible();

  // The first product of all shows without being asked for.
  await add(request, { sku: 'ALL-1' });
  await expect(row(page, 'ALL-1')).toBeVisible();
  await expect(row(other, 'ALL-1')).toBeVisible();
});
