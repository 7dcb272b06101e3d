import { chmodSync, existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from '@playwright/test';

// Browser tests against the real server, with a database of its own that
// lives as long as the run: IMPORTER_BIN names the binary, CHROMIUM the browser.
const port = Number(process.env.PORT ?? 8123);
const binary = process.env.IMPORTER_BIN ?? '../../bin/importer';
const browsers = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'];

// Every worker reads this file again: the first reader makes the directory.
const data = (process.env.IMPORTER_E2E_DATA ??= mkdtempSync(join(tmpdir(), 'importer-e2e-')));
if (existsSync(data)) chmodSync(data, 0o755); // run by root, the server gives Postgres another account

export default defineConfig({
  testDir: 'e2e',
  workers: 1, // one server, one catalogue; the first file needs it empty
  timeout: 60_000,
  expect: { timeout: 15_000 },
  forbidOnly: true,
  reporter: [['list']],
  outputDir: 'test-results/e2e',
  use: {
    baseURL: `http://127.0.0.1:${port}`,
    locale: 'en-GB',
    viewport: { width: 1280, height: 860 },
    screenshot: 'only-on-failure',
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? browsers.find((b) => existsSync(b)),
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    },
  },
  webServer: {
    // The shell outlives the server by as much as it takes to clean up.
    command: `trap : TERM; ${binary} serve --addr 127.0.0.1:${port} --data-dir ${data}; rm -rf ${data}`,
    url: `http://127.0.0.1:${port}/readyz`,
    env: { IMPORTER_LOG_LEVEL: 'warn', IMPORTER_WEBHOOK_ALLOW_PRIVATE: 'true' }, // receivers of tests are on this machine
    timeout: 60_000,
    gracefulShutdown: { signal: 'SIGTERM', timeout: 15_000 },
  },
});
