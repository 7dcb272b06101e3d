export type Toast = {
  id: number;
  kind: 'ok' | 'error' | 'info';
  text: string;
  action?: { label: string; run: () => void };
};

const MOST = 4;
const SHOWN_MS = 5000;

/** Short messages in the corner. Good news leaves by itself, errors stay until dismissed. */
class Toasts {
  list = $state.raw<Toast[]>([]);
  #lastId = 0;

  add(kind: Toast['kind'], text: string, action?: Toast['action']) {
    const id = ++this.#lastId;
    this.list = [...this.list, { id, kind, text, action }].slice(-MOST);
    if (kind !== 'error') setTimeout(() => this.drop(id), SHOWN_MS);
  }

  drop(id: number) {
    this.list = this.list.filter((t) => t.id !== id);
  }
}

export const toasts = new Toasts();
