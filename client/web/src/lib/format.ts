// Numbers, sizes and times for people, in the language of the browser.
const locale = typeof navigator === 'undefined' ? 'en-GB' : navigator.language;
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'narrow' });
const stamp = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });
const clock = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' });

export const num = (n: number) => whole.format(n);
export const plural = (n: number, one: string, many = one + 's') => `${num(n)} ${n === 1 ? one : many}`;
export const dateTime = (iso: string) => stamp.format(new Date(iso));
export const timeOfDay = (iso: string) => clock.format(new Date(iso));

/** "12.3k": short enough for a figure that changes. */
export function compact(n: number): string {
  if (n >= 999_500) return `${tenth.format(n / 1e6)}M`;
  return n >= 1000 ? `${n >= 99_950 ? whole.format(n / 1e3) : tenth.format(n / 1e3)}k` : whole.format(n);
}

/** "530k": two digits are as much as an estimate can promise. */
export function approx(n: number): string {
  if (n < 10) return whole.format(n);
  const unit = 10 ** (Math.floor(Math.log10(n)) - 1);
  return compact(Math.round(n / unit) * unit);
}

export function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${n < 10 && i > 0 ? tenth.format(n) : whole.format(n)} ${units[i]}`;
}

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const s = ms / 1000;
  if (s < 59.5) return `${s < 9.95 ? tenth.format(s) : whole.format(s)} s`;
  const minutes = Math.floor(Math.round(s) / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(s) % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days ${hours % 24} h`;
}

export function ago(iso: string, now: number): string {
  const s = (Date.parse(iso) - now) / 1000;
  const past = Math.abs(s);
  if (past < 10) return 'just now';
  if (past < 60) return relative.format(Math.round(s), 'second');
  if (past < 3600) return relative.format(Math.round(s / 60), 'minute');
  if (past < 86400) return relative.format(Math.round(s / 3600), 'hour');
  return relative.format(Math.round(s / 86400), 'day');
}
