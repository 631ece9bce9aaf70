/** `fetch` in the hands of a test: each request waits until the test answers it. */

export class Request {
  readonly url: string;
  readonly init: RequestInit;
  readonly #settle: { resolve(response: Response): void; reject(error: Error): void };

  constructor(url: string, init: RequestInit, settle: { resolve(response: Response): void; reject(error: Error): void }) {
    this.url = url;
    this.init = init;
    this.#settle = settle;
  }

  get isGivenUp(): boolean {
    return this.init.signal?.aborted ?? false;
  }

  answer(body: BodyInit | null, init?: ResponseInit): void {
    this.#settle.resolve(new Response(body, init));
  }

  /** Answers with a body that the test writes, until it is given up. */
  stream(init?: ResponseInit): ReadableStreamDefaultController<Uint8Array> {
    const parts: ReadableStreamDefaultController<Uint8Array>[] = [];
    this.answer(new ReadableStream<Uint8Array>({ start: (controller) => void parts.push(controller) }), init);
    const [controller] = parts;
    if (!controller) throw new Error('a stream has a controller');
    this.init.signal?.addEventListener('abort', () => controller.error(aborted()));
    return controller;
  }

  fail(error: Error): void {
    this.#settle.reject(error);
  }
}

export class FakeFetch {
  readonly requests: Request[] = [];

  readonly fetch = ((url: URL, init: RequestInit) =>
    new Promise<Response>((resolve, reject) => {
      this.requests.push(new Request(url.href, init, { resolve, reject }));
      init.signal?.addEventListener('abort', () => reject(aborted()));
    })) as typeof fetch;

  /** A request by its number, from 0. */
  at(index: number): Request {
    const request = this.requests[index];
    if (!request) throw new Error(`there was no request ${index}`);
    return request;
  }
}

const aborted = () => new DOMException('given up', 'AbortError');
