/**
 * The Idempotency-Key of a form: the same request has the same key, so that one
 * that is sent again after a lost answer does nothing twice.
 */
export class RequestKey {
  #body = '';
  #key = '';

  of(request: unknown): string {
    const body = JSON.stringify(request);
    if (body !== this.#body || !this.#key) {
      this.#body = body;
      this.#key = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');
    }
    return this.#key;
  }
}
