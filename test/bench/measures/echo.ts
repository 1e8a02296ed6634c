// Echo: how many answers, and after what time, with 1, 16 and 64 connections that have one question outstanding each.
import { ECHO_PORT, ask, type Asked } from '../loads.js';
import { alternate } from '../rounds.js';
import type { Window } from '../yard/pair.js';
import type { GuestMeasure } from './measure.js';

export const ECHO_QUESTION = 'x'.repeat(63);
export const ECHO_CONNECTIONS = [1, 16, 64] as const;

/** How a line of the results names them. */
export function connectionsOf(connections: number): string {
  return `echo, ${connections} connection${connections === 1 ? '' : 's'}`;
}

export const echo: GuestMeasure = {
  name: 'echo',
  title: 'echo, 1, 16 and 64 connections',
  on: 'small',
  async run({ yard, pair, subjects }, settings, findings) {
    for (const connections of ECHO_CONNECTIONS) {
      const windows: Window[] = [];
      const found = await alternate(settings.rounds, subjects, async ({ name, address }) => {
        const load = (): Promise<Asked> =>
          ask(yard, settings, { address, port: ECHO_PORT, connections, question: ECHO_QUESTION });
        if (name !== 'guarded') return load();
        const { result, window } = await pair.during(load);
        windows.push(window);
        return result;
      });
      const values = (key: keyof Asked): ReadonlyMap<string, number[]> =>
        new Map([...found].map(([name, rounds]) => [name, rounds.map((one) => one[key])]));
      const what = connectionsOf(connections);
      const ratio = findings.compared(what, 'answers/s', values('per_second'));
      findings.compared(`${what}: p50`, 'us', values('p50_us'));
      findings.compared(`${what}: p99`, 'us', values('p99_us'));
      findings.load(what, windows);
      if (connections === 1) findings.figure('echo1_ratio', ratio.median);
      if (connections === 16) findings.figure('echo16_ratio', ratio.median);
    }
  },
};
