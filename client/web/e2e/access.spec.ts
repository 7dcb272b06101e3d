import type { Browser, Page } from '@playwright/test';
import type { SessionState } from '../src/lib/access/types.ts';
import { accessible, csvFile, expect, figure, isLive, startImport, test } from './fixtures.ts';
import { startServer, type Running } from './server.ts';

// What these tests provoke on purpose: a socket whose caller is out is refused, too.
test.use({ allowed: /responded with a status of (401|422|429)|Error during WebSocket handshake/ });

const password = 'correct horse battery';
const wrong = (page: Page) => page.getByRole('alert');

async function signIn(page: Page, text: string) {
  await page.getByLabel('Password').fill(text);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Another person's browser. */
async function elsewhere(browser: Browser, url: string): Promise<Page> {
  const page = await (await browser.newContext({ baseURL: url })).newPage();
  await page.goto('/');
  return page;
}

test.describe.serial('a server on a laptop', () => {
  let server: Running;
  test.beforeAll(async () => {
    server = await startServer();
  });
  test.afterAll(() => server.stop());

  async function signedIn(page: Page, path = '/') {
    await page.goto(server.url + path);
    await signIn(page, password);
    await isLive(page);
  }

  test('it asks nobody until a password is set, then everybody', async ({ page, browser }) => {
    await page.goto(server.url);
    await isLive(page);
    const other = await elsewhere(browser, server.url);
    await isLive(other);
    await page.getByRole('navigation').getByRole('link', { name: 'Settings' }).click();
    await expect(page.getByRole('heading', { level: 1, name: 'Settings' })).toBeFocused();
    await expect(page.getByText('Nobody has to sign in')).toBeVisible();
    await expect(page.getByRole('region', { name: 'Signed in' })).toHaveCount(0);

    await page.getByRole('button', { name: 'Set a password' }).click();
    await page.getByLabel('New password').fill('too short');
    await page.getByLabel('The same again').fill('other');
    await page.getByRole('button', { name: 'Set password' }).click();
    await expect(page.getByText('It needs 12 characters at least.')).toBeVisible();
    await expect(page.getByText('This is not the same.')).toBeVisible();
    await expect(page.getByLabel('New password')).toBeFocused();
    await page.getByLabel('New password').fill(password);
    await page.getByLabel('The same again').fill(password);
    await page.getByRole('button', { name: 'Set password' }).click();
    await expect(page.getByText('Everybody signs in with it.')).toBeVisible();
    await expect(page.locator('[data-session]')).toContainText('This one');
    await isLive(page);

    // The other one finds out with its next request.
    await other.getByRole('link', { name: 'Products' }).click();
    await expect(other.getByRole('heading', { level: 1, name: 'Sign in' })).toBeVisible();
    await expect(other).toHaveTitle('Sign in · Product Importer');
    await expect(other.getByLabel('Password')).toBeFocused();
    await expect(other.getByRole('navigation')).toHaveCount(0);
    await signIn(other, '');
    await expect(wrong(other)).toHaveText('Enter the password.');
    await signIn(other, 'not the password');
    await expect(wrong(other)).toHaveText('The password is wrong.');
    await signIn(other, password);
    await expect(other.getByRole('heading', { level: 1, name: 'Products' })).toBeVisible(); // where it wanted to go
    await isLive(other);
    await other.context().close();
  });

  test('a session ends by signing out, here or from elsewhere', async ({ page, browser }) => {
    await signedIn(page, '/settings');
    const lost = await elsewhere(browser, server.url);
    await signIn(lost, password);
    await isLive(lost);
    await page.reload();
    const others = page.locator('[data-session]', { hasNotText: 'This one' });
    await expect(others).not.toHaveCount(0);
    for (let n = await others.count(); n > 0; n--) {
      await others.first().getByRole('button', { name: /^Sign out/ }).click();
      await expect(others).toHaveCount(n - 1);
    }
    await lost.getByRole('link', { name: 'Webhooks' }).click();
    await expect(lost.getByRole('heading', { level: 1, name: 'Sign in' })).toBeVisible();
    await lost.context().close();

    await page.getByRole('button', { name: 'Sign out', exact: true }).click();
    await expect(page.getByRole('heading', { level: 1, name: 'Sign in' })).toBeVisible();
    await page.goBack();
    await expect(page.getByRole('heading', { level: 1, name: 'Sign in' })).toBeVisible();
  });

  test('a token is made for a program, used and revoked', async ({ page, playwright }) => {
    await signedIn(page, '/settings');
    await page.getByRole('button', { name: 'Create token' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Create token' }).click();
    await expect(page.getByText('is empty')).toBeVisible();
    await expect(page.getByLabel('Name')).toBeFocused();
    await page.getByLabel('Name').fill('nightly <b>import</b>');
    await page.getByRole('radio', { name: /^import/ }).check();
    await page.getByLabel('Expires').selectOption('In 90 days');
    await page.getByRole('dialog').getByRole('button', { name: 'Create token' }).click();
    await expect(page.getByRole('dialog').getByText('nobody can see it again')).toBeVisible();
    const token = (await page.locator('[data-secret]').textContent())!;
    expect(token).toMatch(/^imp_/);
    await accessible(page, 'the dialog with a token');
    await page.getByRole('button', { name: 'Done' }).click();
    const row = page.locator('[data-token]');
    await expect(row).toContainText('nightly <b>import</b>');
    await expect(row).toContainText('in 90 days');
    await expect(row).toContainText('never');
    await expect(page.locator('body')).not.toContainText(token);

    const program = await playwright.request.newContext({ baseURL: server.url, extraHTTPHeaders: { Authorization: `Bearer ${token}` } });
    const state = (await (await program.get('/api/session')).json()) as SessionState;
    expect(state).toMatchObject({ caller: 'token', scope: 'import' });
    expect((await program.get('/api/webhooks')).status()).toBe(403);
    await page.reload();
    await expect(row).toContainText('just now');

    await row.getByRole('button', { name: 'Revoke' }).click();
    await page.getByRole('button', { name: 'Keep token' }).click();
    await expect(row).toHaveCount(1);
    await row.getByRole('button', { name: 'Revoke' }).click();
    await page.getByRole('button', { name: 'Revoke token' }).click();
    await expect(page.getByText('No program has a token yet.')).toBeVisible();
    expect((await program.get('/api/imports')).status()).toBe(401);
    await program.dispose();
  });

  test('the password is changed by who knows it', async ({ page }) => {
    await signedIn(page, '/settings');
    await page.getByRole('button', { name: 'Change password' }).click();
    const change = async (current: string) => {
      await page.getByLabel('Current password').fill(current);
      await page.getByLabel('New password').fill('another long password');
      await page.getByLabel('The same again').fill('another long password');
      await page.getByRole('button', { name: 'Change password' }).click();
    };
    await change('guessed');
    await expect(page.getByText('is not the current password')).toBeVisible();
    await change(password);
    await expect(page.getByText('Other browsers are signed out.')).toBeVisible();
    await expect(page.locator('[data-session]')).toHaveCount(1);
  });
});

test('from signing in with the admin token to the first import', async ({ page }) => {
  const server = await startServer({ IMPORTER_ADMIN_TOKEN: 'a-token-of-a-browser-test' });
  try {
    await page.goto(server.url);
    await expect(page.getByText('No password has been set yet.')).toBeVisible();
    for (const scheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      await accessible(page, `sign-in, ${scheme}`);
    }
    await signIn(page, 'a-token-of-a-browser-test');
    await isLive(page);
    await startImport(page, csvFile('first.csv', 2000));
    await expect(figure(page, 'Created')).toHaveText('2,000');
    await page.goto(server.url + '/settings');
    await expect(page.getByText('There is none yet')).toBeVisible();
    await expect(page.locator('[data-session]')).toHaveCount(1);
    for (const scheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      await accessible(page, `settings, ${scheme}`);
    }
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  } finally {
    await server.stop();
  }
});
