// Judges the answers of the guest's counter service on one connection: every line answered once and in order, and a
// counter that goes up by exactly one. A counter that repeats or goes back is a guest resumed from a moment that
// somebody outside had already seen the end of; one that jumps has answered a line that never arrived.

export interface Answer {
  /** Wall clock when the request was sent, in ms. */
  readonly sent_ms: number;
  /** Wall clock when the answer arrived, in ms. */
  readonly arrived_ms: number;
  readonly rtt_ms: number;
}

export interface Verdict {
  readonly answered: number;
  readonly answers_lost: number;
  readonly answers_repeated: number;
  /** Lines that were no answer at all. */
  readonly garbage: readonly string[];
  /** Why the connection broke, if it did. */
  readonly broken: string | undefined;
}

export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const GARBAGE_KEPT_MAX = 20;

export class Answers {
  readonly list: Answer[] = [];
  #number = 0;
  #counter: number | undefined;
  #lost = 0;
  #repeated = 0;
  #broken: string | undefined;
  readonly #garbage: string[] = [];

  /** Takes one line of the traffic program's output. */
  take(line: string): void {
    if (line === 'end') return;
    if (line.startsWith('broken ')) {
      this.#broken = line.slice('broken '.length);
      // The request that was under way has no answer.
      this.#lost += 1;
      return;
    }
    const match = /^(\d+) (\d+) (\d+) (\d+)$/.exec(line);
    if (!match) {
      if (this.#garbage.length < GARBAGE_KEPT_MAX) this.#garbage.push(line);
      return;
    }
    const [sent_us = 0, rtt_us = 0, number = 0, counter = 0] = match.slice(1).map(Number);
    this.#judge(number, counter);
    this.list.push({ sent_ms: sent_us / 1000, arrived_ms: (sent_us + rtt_us) / 1000, rtt_ms: rtt_us / 1000 });
  }

  get verdict(): Verdict {
    return {
      answered: this.list.length,
      answers_lost: this.#lost,
      answers_repeated: this.#repeated,
      garbage: this.#garbage,
      broken: this.#broken,
    };
  }

  /** Round trips of the answers that arrived in a span of wall clock time. */
  percentiles(from_ms: number, to_ms: number): Percentiles {
    const rtts = this.list
      .filter((one) => one.sent_ms >= from_ms && one.arrived_ms < to_ms)
      .map((one) => one.rtt_ms);
    return percentilesOf(rtts);
  }

  /** First answer that arrived after a moment. */
  firstAfter(from_ms: number): Answer | undefined {
    return this.list.find((answer) => answer.arrived_ms > from_ms);
  }

  /** Longest time without an answer in a span, in ms: from one arrival to the next. */
  longestGap_ms(from_ms: number, to_ms: number): number {
    const arrivals = this.list.map((answer) => answer.arrived_ms);
    return arrivals.reduce((longest, arrival, index) => {
      const next = arrivals[index + 1];
      // A gap counts where any of it lies in the span.
      if (next === undefined || next < from_ms || arrival > to_ms) return longest;
      return Math.max(longest, next - arrival);
    }, 0);
  }

  #judge(number: number, counter: number): void {
    if (number <= this.#number) this.#repeated += 1;
    else if (this.#counter !== undefined && counter <= this.#counter) this.#repeated += 1;
    else
      this.#lost +=
        number - this.#number - 1 + (this.#counter === undefined ? 0 : counter - this.#counter - 1);
    this.#number = Math.max(number, this.#number);
    this.#counter = Math.max(counter, this.#counter ?? 0);
  }
}

export function percentilesOf(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? NaN };
}
