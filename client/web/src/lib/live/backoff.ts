const FIRST = 500;
const LONGEST = 30_000;

/**
 * Milliseconds to wait before attempt n (0, 1, …): a random part of a time
 * that doubles. Full jitter spreads the clients of a restarted server best.
 */
export function backoff(n: number, random: number): number {
  return Math.round(random * Math.min(LONGEST, FIRST * 2 ** n));
}
