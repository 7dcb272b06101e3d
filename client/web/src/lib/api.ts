/** What the server or the network said no with. The message is a sentence for people. */
export class ApiError extends Error {
  constructor(message: string, readonly status: number, readonly code = '') {
    super(message);
  }
}

/** A part of a list; next asks for the part that follows. */
export type Page<T> = { items: T[]; next: string | null; total: number };

/** One request to the API. It throws ApiError, or an AbortError when signal ends it. */
export async function api<T>(method: 'GET' | 'POST', path: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { method, signal, headers: { Accept: 'application/json' } });
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new ApiError('The server cannot be reached. Check the connection and try again.', 0);
  }
  const text = await response.text();
  if (!response.ok) throw problem(response.status, text);
  return JSON.parse(text) as T;
}

/** Reads an answer of application/problem+json (RFC 9457), or makes do without. */
export function problem(status: number, text: string): ApiError {
  try {
    const p = JSON.parse(text) as { detail?: string; title?: string; code?: string };
    const message = p.detail || p.title;
    if (message) return new ApiError(message, status, p.code);
  } catch {
    // not from our server: a proxy in between
  }
  return new ApiError(`The server answered ${status}. Try again in a moment.`, status);
}

/** What to tell a person about anything that was thrown. */
export const messageOf = (e: unknown) => (e instanceof Error ? e.message : String(e));
