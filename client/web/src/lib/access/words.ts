import type { Scope } from './types.ts';

/** The scopes, from least to most, with what they allow. */
export const SCOPES: [scope: Scope, what: string][] = [
  ['read', 'Look at products and imports, and follow them live'],
  ['import', 'Also upload files, cancel imports and try them again'],
  ['write', 'Also change and delete products'],
  ['admin', 'Everything, with webhooks, tokens and the password'],
];

const BROWSERS: [RegExp, string][] = [[/\bEdg/, 'Edge'], [/\bOPR\//, 'Opera'], [/\bFirefox\/|\bFxiOS\//, 'Firefox'], [/Chrome\/|\bCriOS\//, 'Chrome'], [/\bSafari\//, 'Safari']];
const SYSTEMS: [RegExp, string][] = [[/\biPhone\b/, 'iPhone'], [/\biPad\b/, 'iPad'], [/\bAndroid\b/, 'Android'], [/\bWindows\b/, 'Windows'], [/\bMac OS X\b|\bMacintosh\b/, 'macOS'], [/\bCrOS\b/, 'ChromeOS'], [/\bLinux\b/, 'Linux']];

/** "Firefox on Linux", from a User-Agent; else the beginning of that. */
export function browserName(userAgent: string): string {
  const of = (names: [RegExp, string][]) => names.find(([sign]) => sign.test(userAgent))?.[1];
  const [browser, system] = [of(BROWSERS), of(SYSTEMS)];
  if (browser) return system ? `${browser} on ${system}` : browser;
  return userAgent.slice(0, 60) || 'Unknown browser';
}

/** The day that is so many days ahead, in the API's form. */
export const inDays = (days: number, now: number) => new Date(now + days * 86_400_000).toISOString();
