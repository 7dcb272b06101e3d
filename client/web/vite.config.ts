import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

/** Packages whose code or fonts end up in the build, and whose licences therefore go with it. */
const shipped = [
  '@fontsource-variable/geist', '@fontsource-variable/geist-mono', '@lucide/svelte', 'papaparse', 'svelte', 'tus-js-client',
];

/** Writes licenses.txt: the licences of everything that is shipped. */
function licences(): Plugin {
  return {
    name: 'licences',
    apply: 'build',
    generateBundle() {
      const texts = shipped.map((name) => {
        const dir = join('node_modules', name);
        const file = readdirSync(dir).find((f) => /^licen[cs]e/i.test(f));
        if (!file) this.error(`${name} has no licence file`);
        return `${name}\n${'='.repeat(name.length)}\n\n${readFileSync(join(dir, file), 'utf8').trim()}\n`;
      });
      this.emitFile({ type: 'asset', fileName: 'licenses.txt', source: texts.join('\n\n') });
    },
  };
}

/** Writes .br and .gz next to each text file, so that the Go server only has to pick one. */
function precompress(): Plugin {
  let dir = 'dist';
  return {
    name: 'precompress',
    apply: 'build',
    configResolved(config) {
      dir = config.build.outDir;
    },
    closeBundle() {
      for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|html|svg|txt)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const body = readFileSync(path);
        if (body.length < 1024) continue; // below a packet there is nothing to win
        writeFileSync(path + '.br', brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
        writeFileSync(path + '.gz', gzipSync(body, { level: 9 }));
      }
    },
  };
}

const server = process.env.IMPORTER_SERVER ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte(), licences(), precompress()],
  // Nothing is inlined: the content security policy allows no inline script or style.
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  // changeOrigin stays off: the server compares the Origin of a WebSocket with its Host.
  server: { proxy: { '/api': { target: server }, '/ws': { target: server, ws: true } } },
});
