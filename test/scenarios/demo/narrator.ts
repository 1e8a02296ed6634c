// Tells a person what is going on: every line with the time since the start, colours on a terminal only.
import { styleText } from 'node:util';

const TICK_MS = 250;
const QUIET_MS = 2000;
const REMINDER_MS = 5000;

type Style = Parameters<typeof styleText>[0];

export class Narrator {
  readonly #start_ms = Date.now();
  readonly #isTerminal = process.stdout.isTTY;

  title(text: string): void {
    console.log(`\n${this.#style('bold', text)}`);
  }

  say(text: string): void {
    console.log(`${this.#clock()}  ${text}`);
  }

  /** Something good or bad that the story was about. */
  verdict(good: boolean, text: string): void {
    console.log(`${this.#style(good ? 'green' : 'red', good ? '  yes ' : '  NO  ')} ${text}`);
  }

  /** A command as an operator would type it. */
  command(node: string, command: readonly string[]): void {
    console.log(this.#style('cyan', `${node}# ${command.map(quoted).join(' ')}`));
  }

  /** What a command printed. */
  output(text: string): void {
    console.log(
      text
        .split('\n')
        .map((line) => `    ${line}`)
        .join('\n'),
    );
  }

  /** Waits with the person: says what for, how long already and, if `detail` knows, how far it is. */
  async wait<T>(what: string, work: Promise<T>, detail: () => string = () => ''): Promise<T> {
    const start_ms = Date.now();
    let reminded_ms = start_ms;
    const timer = setInterval(() => {
      const waited_ms = Date.now() - start_ms;
      if (waited_ms < QUIET_MS) return;
      const line = `${this.#clock()}  ${what} … ${Math.round(waited_ms / 1000)} s ${detail()}`;
      if (this.#isTerminal) process.stdout.write(`\r\u001b[K${line}`);
      else if (Date.now() - reminded_ms >= REMINDER_MS) {
        reminded_ms = Date.now();
        console.log(line);
      }
    }, TICK_MS);
    try {
      const result = await work;
      this.#clearLine();
      this.say(`${what}: ${this.#style('green', 'done')} (${seconds(Date.now() - start_ms)})`);
      return result;
    } catch (error) {
      this.#clearLine();
      this.say(`${what}: ${this.#style('red', 'FAILED')} after ${seconds(Date.now() - start_ms)}`);
      throw error;
    } finally {
      clearInterval(timer);
    }
  }

  #clock(): string {
    return this.#style('dim', `${((Date.now() - this.#start_ms) / 1000).toFixed(1).padStart(6)} s`);
  }

  #clearLine(): void {
    if (this.#isTerminal) process.stdout.write('\r\u001b[K');
  }

  #style(style: Style, text: string): string {
    return this.#isTerminal ? styleText(style, text) : text;
  }
}

export function seconds(span_ms: number): string {
  return `${(span_ms / 1000).toFixed(1)} s`;
}

/** As a shell takes it for one word. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
