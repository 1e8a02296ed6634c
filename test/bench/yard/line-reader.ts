// Lines of a child or a socket, one after the other; those that nobody waits for yet are kept.
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export class LineReader {
  readonly #lines: AsyncIterator<string, unknown>;
  readonly #ended: string;

  /** @param ended what it means when there are no more lines */
  constructor(stream: Readable, ended: string) {
    this.#lines = createInterface({ input: stream })[Symbol.asyncIterator]();
    this.#ended = ended;
  }

  /** @throws when there are no more */
  async next(): Promise<string> {
    const result = await this.#lines.next();
    if (result.done === true) throw new Error(this.#ended);
    return result.value;
  }
}
