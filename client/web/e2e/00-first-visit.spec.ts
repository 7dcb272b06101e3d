import { accessible, choosers, expect, open, test } from './fixtures.ts';

// Named to come first: it wants the catalogue empty.
test('a first visit says what to do', async ({ page }) => {
  const asked = choosers(page);
  await open(page);
  await expect(page).toHaveTitle('Imports · Product Importer');
  await expect(page.getByText('Manage products and import from CSV files')).toBeVisible();
  await expect(page.getByRole('heading', { name: 'No imports yet' })).toBeVisible();
  await expect(page.getByText('What happens shows up here')).toBeVisible();
  await page.getByRole('button', { name: 'Choose a file', exact: true }).click();
  await expect.poll(asked).toBe(1);
  await expect(page.getByRole('navigation').getByRole('link')).toHaveText(['Imports', 'Products', 'Webhooks', 'Settings', 'Status']);
  await accessible(page, 'empty');
});
