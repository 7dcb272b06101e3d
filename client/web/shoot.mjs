import { chromium } from '@playwright/test';
const machine = (o) => ({ id: '0198d2c4-8f4e-7000-8000-00000000000a', name: 'app-1', version: '1.4.0', started_at: new Date(Date.now()-93.6e6).toISOString(), seen_at: new Date(Date.now()-3000).toISOString(), alive: true, imports: 0, ...o });
const busy = {
  version: '1.4.0', commit: '9c1fa94a0f1be5', machine: '0198d2c4-8f4e-7000-8000-00000000000a', started_at: '2026-03-01T09:00:00Z', uptime_s: 93600,
  machines: [machine({ imports: 3 }), machine({ id: '0198d2c4-8f4e-7000-8000-00000000000c', name: 'app-3', version: '1.3.9', imports: 1 }), machine({ id: '0198d2c4-8f4e-7000-8000-00000000000b', name: 'app-2', alive: false, imports: 1, seen_at: new Date(Date.now()-40e3).toISOString() })],
  imports: { uploading: 1, queued: 12, scanning: 1, writing: 3, completed: 1041, failed: 2, cancelled: 0 },
  queued_for_s: 95.4, indexing: { indexed: 400000, total: 500000, pending: 100000 },
  database: { version: '17.6 (Debian 17.6-1)', bytes: 1412000000 }, sockets: { open: 214, queued_bytes: 3200000 },
};
const extra = process.env.EXTRA ? JSON.parse(process.env.EXTRA) : {};
const b = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
for (const [w, h] of [[1280, 900], [390, 844]]) for (const colorScheme of ['light', 'dark']) for (const kind of ['real', 'busy']) {
  const p = await b.newPage({ viewport: { width: w, height: h }, colorScheme, deviceScaleFactor: w < 500 ? 2 : 1 });
  if (kind === 'busy') await p.route('/api/status', (r) => r.fulfill({ json: { ...busy, ...extra } }));
  await p.goto('http://127.0.0.1:18451/status');
  await p.waitForSelector('[data-machine]');
  await p.waitForTimeout(400);
  await p.screenshot({ path: `/tmp/observe/shots/${kind}-${w}-${colorScheme}.png`, fullPage: true });
  await p.close();
}
await b.close();
