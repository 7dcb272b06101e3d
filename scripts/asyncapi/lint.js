// Validates an AsyncAPI document, without the network. Exits with 1 when there
// is an error or a warning.
import { readFile } from 'node:fs/promises';
import { Parser } from '@asyncapi/parser';

const WARNING = 1; // hints, such as that there is a newer version, are above

const file = process.argv[2];
const { diagnostics } = await new Parser().parse(await readFile(file, 'utf8'));
const complaints = diagnostics.filter((d) => d.severity <= WARNING);
for (const d of complaints) {
  console.error(`${file}:${d.range.start.line + 1}: ${d.path.join('.')}: ${d.message} (${d.code})`);
}
if (complaints.length === 0) console.log(`${file} is a valid AsyncAPI document`);
process.exitCode = complaints.length === 0 ? 0 : 1;
