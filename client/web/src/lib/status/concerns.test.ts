import { expect, test } from '@playwright/test';
import { concerns } from './concerns.ts';
import type { Machine, Status } from './types.ts';

const now = Date.parse('2026-03-01T12:00:00Z');
const machine = (over: Partial<Machine> = {}): Machine => ({
  id: 'a', name: 'app-1', version: '1.4.0', started_at: '2026-03-01T09:00:00Z', seen_at: '2026-03-01T11:59:58Z', alive: true, imports: 0, leases: [], webhooks: 0, ...over,
});
const status = (over: Partial<Status> = {}): Status => ({
  version: '1.4.0', commit: '', machine: 'a', started_at: '2026-03-01T09:00:00Z', uptime_s: 10_800, machines: [machine()],
  imports: { uploading: 0, queued: 0, scanning: 0, writing: 0, completed: 9, failed: 2, cancelled: 1 }, queued_for_s: 0,
  indexing: { indexed: 0, total: 9, pending: 9 }, webhooks: { pending: 0, overdue_for_s: 0 }, database: { version: '17.6', bytes: 1e9 },
  disk: { free: 50e9, total: 100e9 }, sockets: { open: 3, queued_bytes: 0 }, ...over,
});

for (const [what, over, want] of [
  ['nothing', {}, []],
  ['a queue that moves', { queued_for_s: 59 }, []],
  ['a queue that does not', { queued_for_s: 95 }, [/waited 1 min 35 s/]],
  ['a machine that is gone', { machines: [machine(), machine({ id: 'b', name: 'app-2', alive: false, seen_at: '2026-03-01T11:59:00Z' })] }, [/^app-2 was last seen .* goodbye\.$/]],
  ['one that is gone with an import', { machines: [machine({ alive: false, imports: 1 })] }, [/Its import goes on elsewhere/]],
  ['one that is gone with two', { machines: [machine({ alive: false, imports: 2 })] }, [/Its 2 imports go on elsewhere/]],
  ['two versions', { machines: [machine(), machine({ version: '1.3.9' })] }, [/different versions: 1\.3\.9, 1\.4\.0\./]],
  ['two versions, of which one is gone', { machines: [machine(), machine({ version: '1.3.9', alive: false })] }, [/goodbye/]],
  ['a full disk', { disk: { free: 9e9, total: 100e9 } }, [/9 GB left of 100 GB/]],
  ['a disk nobody knows', { disk: { free: 0, total: 0 } }, []],
  ['deliveries that are late', { webhooks: { pending: 1, overdue_for_s: 360 } }, [/^1 delivery .* 6 min 0 s too long/]],
  ['receivers that have to be waited for', { webhooks: { pending: 4000, overdue_for_s: 0 } }, []],
  ['two things', { queued_for_s: 95, webhooks: { pending: 2, overdue_for_s: 360 } }, [/queue/, /2 deliveries/]],
] as [string, Partial<Status>, RegExp[]][]) {
  test(`concerns: ${what}`, () => {
    const got = concerns(status(over), now);
    expect(got).toHaveLength(want.length);
    want.forEach((pattern, i) => expect(got[i]).toMatch(pattern));
  });
}
