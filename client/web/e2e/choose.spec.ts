import { card, choosers, expect, figure, open, startImport, test, writeFile } from './fixtures.ts';

const csv = 'sku;name;description;price\nLMP-1;Lamp;"Bright; warm";10\nLMP-2;;Dim;8\nlmp-1;Lamp again;x;9\n;Chair;y;1\n';

test('a file dropped anywhere is shown before it is sent', async ({ page }) => {
  await open(page);
  const files = await page.evaluateHandle((text) => {
    const data = new DataTransfer();
    data.items.add(new File([text], 'dropped.csv', { type: 'text/csv' }));
    return data;
  }, csv);
  await page.dispatchEvent('header', 'dragenter', { dataTransfer: files });
  await expect(page.getByText('Drop it to see a preview')).toBeVisible();
  await page.dispatchEvent('header', 'drop', { dataTransfer: files });
  await expect(page.getByText('Drop it to see a preview')).toBeHidden();

  const preview = page.getByRole('region', { name: 'dropped.csv' });
  await expect(preview.getByText('semicolon separated')).toBeVisible();
  await expect(preview.getByLabel('sku')).toHaveValue('0');
  await expect(preview.getByRole('row')).toHaveCount(5);
  await expect(preview.getByRole('row').nth(1)).toHaveText(/2\s*LMP-1\s*Lamp\s*Bright; warm\s*10/);
  await expect(preview.getByText('1 row has no name and will be rejected.')).toBeVisible();
  await expect(preview.getByText('1 row is replaced by a later row with the same SKU.')).toBeVisible();
  await expect(preview.getByRole('button', { name: 'Import 4 rows' })).toBeEnabled();
  await expect(preview.getByRole('button', { name: 'Check only' })).toBeEnabled();

  await preview.getByRole('button', { name: 'Choose another' }).click();
  await expect(page.getByText('Drop a CSV here, or choose a file')).toBeVisible();
});

test('several files are refused kindly', async ({ page }) => {
  await open(page);
  const files = await page.evaluateHandle(() => {
    const data = new DataTransfer();
    for (const name of ['a.csv', 'b.csv']) data.items.add(new File(['sku,name\n1,a\n'], name));
    return data;
  });
  await page.dispatchEvent('main', 'drop', { dataTransfer: files });
  await expect(page.getByRole('alert')).toHaveText('One file at a time, please: you dropped 2.');
});

test('a file of another kind is refused by its content, whatever its name', async ({ page }) => {
  await open(page);
  const png = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0]);
  for (const name of ['photo.png', 'prices.csv']) {
    await page.setInputFiles('input[type=file]', writeFile(name, png));
    await expect(page.getByRole('alert')).toHaveText(`${name} is not a CSV file. Save the sheet as CSV and try again.`);
  }
  await page.setInputFiles('input[type=file]', writeFile('nothing.csv', ''));
  await expect(page.getByRole('alert')).toHaveText('nothing.csv is empty.');
});

test('columns with other names are chosen by hand', async ({ page }) => {
  await open(page);
  await page.setInputFiles('input[type=file]', writeFile('artikel.csv', 'Artikelnr,Bezeichnung\nART-1,Lampe\nART-2,Tisch\n'));
  await expect(page.getByText('No column for sku and none for name was found.')).toBeVisible();
  const button = page.getByRole('button', { name: 'Import 2 rows' });
  await expect(button).toBeDisabled();
  await page.getByLabel('sku').selectOption('Artikelnr');
  await expect(page.getByText('No column for name was found. Choose it.')).toBeVisible();
  await page.getByLabel('name').selectOption('Bezeichnung');
  await button.click();
  await expect(figure(card(page, 'artikel.csv'), 'Created')).toHaveText('2');
});

test('the keyboard alone is enough', async ({ page }) => {
  const asked = choosers(page);
  await open(page);
  await page.keyboard.press('Tab');
  await expect(page.getByText('Skip to content')).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('main')).toBeFocused();

  await page.keyboard.press('n');
  await expect.poll(asked).toBe(1);

  await page.keyboard.press('?');
  await expect(page.getByRole('dialog', { name: 'Keyboard shortcuts' })).toContainText('Go to Imports');
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toBeHidden();

  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await background();
  await page.keyboard.press('t'); // system → light
  await page.keyboard.press('t'); // light → dark
  expect(await background()).not.toBe(before);
  await page.reload();
  expect(await background()).not.toBe(before);

  await page.goto('/nothing/here');
  await expect(page.getByRole('heading', { name: 'Page not found' })).toBeVisible();
  await page.keyboard.press('g');
  await page.keyboard.press('i');
  await expect(page.getByRole('heading', { name: 'Imports', exact: true })).toBeFocused();
  await expect(page).toHaveURL('/');
});

test.describe('the server', () => {
  test.use({ allowed: /status of 413/ });

  test('says why it cannot take a file, and the preview stays', async ({ page }) => {
    await open(page);
    await page.route('/api/uploads', (route) =>
      route.fulfill({
        status: 413,
        contentType: 'application/problem+json',
        body: JSON.stringify({ title: 'Content Too Large', status: 413, code: 'file_too_large', detail: 'The file is larger than 2 GiB.' }),
      }),
    );
    await startImport(page, writeFile('large.csv', 'sku,name\n1,a\n'));
    await expect(page.getByRole('alert')).toHaveText('The upload did not start. The file is larger than 2 GiB.');
    await expect(page.getByRole('button', { name: 'Import 1 row' })).toBeEnabled();
  });
});
