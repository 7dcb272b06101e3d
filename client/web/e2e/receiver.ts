import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A receiver that notes what it gets and answers as it is told. */
export class Receiver {
  url = '';
  got: { headers: IncomingMessage['headers']; body: string; path: string }[] = [];
  status = 200;
  answer = 'thank you';
  #server: Server = createServer((req, res) => {
    let body = '';
    req.on('data', (d) => (body += d));
    req.on('end', () => {
      this.got.push({ headers: req.headers, body, path: req.url ?? '' });
      res.writeHead(this.status).end(this.answer);
    });
  });

  async start() {
    await new Promise<void>((ready) => this.#server.listen(0, '127.0.0.1', ready));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
