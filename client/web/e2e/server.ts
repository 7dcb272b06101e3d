import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type Running = { url: string; stop(): Promise<void> };

/** Starts another server with a database of its own, for what the one of the other tests must not be changed in. */
export async function startServer(env: Record<string, string> = {}): Promise<Running> {
  const data = mkdtempSync(join(tmpdir(), 'importer-e2e-'));
  chmodSync(data, 0o755); // run by root, the server gives Postgres another account
  const child = spawn(process.env.IMPORTER_BIN ?? '../../bin/importer', ['serve', '--addr', '127.0.0.1:0', '--metrics-addr', '', '--data-dir', data], {
    env: { ...process.env, IMPORTER_LOG_LEVEL: 'warn', ...env },
  });
  let said = '';
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const url = await new Promise<string>((ready, failed) => {
    const hear = (text: Buffer) => {
      said += text;
      const found = /ready: (http:\S+)/.exec(said);
      if (found) ready(found[1]!);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    void ended.then(() => failed(new Error(`the server ended: ${said}`)));
  });
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(data, { recursive: true, force: true });
    },
  };
}
