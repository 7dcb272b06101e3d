/** The body of an answer of application/problem+json (RFC 9457). */
export type Problem = {
  title?: string;
  detail?: string;
  code?: string;
  /** The values at fault, each with the JSON pointer of its member. */
  errors?: { pointer: string; detail: string }[];
  /** The thing as it is now: why a change of an older version was refused. */
  current?: unknown;
};

/** What the server or the network said no with. The message is a sentence for people. */
export class ApiError extends Error {
  readonly code: string;

  constructor(message: string, readonly status: number, readonly problem: Problem = {}) {
    super(message);
    this.code = problem.code ?? '';
  }

  /** What is wrong with the members of the request, by name. */
  get fields(): Record<string, string> {
    return Object.fromEntries((this.problem.errors ?? []).map((e) => [e.pointer.replace(/^\//, ''), e.detail]));
  }
}

/** A part of a list; next asks for the part that follows. */
export type Page<T> = { items: T[]; next: string | null; total: number };

export type Ask = { signal?: AbortSignal; body?: object; headers?: Record<string, string> };

let refused = () => {};

/** Calls f whenever the server asks for credentials that this page does not have. */
export function whenRefused(f: () => void) {
  refused = f;
}

/** One request to the API. It throws ApiError, or an AbortError when signal ends it. */
export async function api<T>(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, { signal, body, headers }: Ask = {}): Promise<T> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, {
      method,
      signal,
      headers: { Accept: 'application/json', ...(body && { 'Content-Type': 'application/json' }), ...headers },
      body: body && JSON.stringify(body),
    });
    text = await response.text();
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new ApiError('The server cannot be reached. Check the connection and try again.', 0);
  }
  if (!response.ok) throw problem(response.status, text);
  return (text ? JSON.parse(text) : undefined) as T;
}

/** Reads an answer of application/problem+json, or makes do without. */
export function problem(status: number, text: string): ApiError {
  try {
    const p = JSON.parse(text) as Problem;
    if (status === 401 && p.code === 'unauthorized') refused();
    const message = p.detail || p.title;
    if (message) return new ApiError(message, status, p);
  } catch {
    // not from our server: a proxy in between
  }
  return new ApiError(`The server answered ${status}. Try again in a moment.`, status);
}

/** What to tell a person about anything that was thrown. */
export const messageOf = (e: unknown) => (e instanceof Error ? e.message : String(e));
