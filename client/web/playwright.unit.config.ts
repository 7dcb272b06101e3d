import { defineConfig } from '@playwright/test';

// Unit tests: plain TypeScript, no browser, no server.
export default defineConfig({
  testDir: 'src',
  testMatch: '**/*.test.ts',
  fullyParallel: true,
  workers: 2,
  reporter: [['list']],
  outputDir: 'test-results/unit',
});
