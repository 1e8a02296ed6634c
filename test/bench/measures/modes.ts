// Whether waiting for more outputs is worth it: the protected guest with a checkpoint for each output, and with the engine's
// own choice, in turn.
import { ECHO_PORT, ask, bulk, http, redis } from '../loads.js';
import { alternate, type Subject } from '../rounds.js';
import type { Settings } from '../settings.js';
import type { Stage } from '../stage.js';
import type { Findings } from '../report/findings.js';
import { ECHO_CONNECTIONS, ECHO_QUESTION, connectionsOf } from './echo.js';
import type { GuestMeasure } from './measure.js';

const MODES = ['event', 'adaptive'] as const;

/** Makes one load in each mode, round by round; the guest is left as it was. */
async function inModes<T>(
  { pair }: Stage,
  settings: Settings,
  load: (address: string) => Promise<T>,
): Promise<ReadonlyMap<string, T[]>> {
  const { control } = pair.primary;
  const before = (await control.status()).tuning;
  const subjects: Subject[] = MODES.map((sync_mode) => ({
    name: sync_mode,
    address: pair.address,
    wake: async () => {
      await control.configure({ sync_mode });
    },
    rest: () => Promise.resolve(),
    revive: () => Promise.resolve(false),
  }));
  try {
    return await alternate(settings.rounds, subjects, ({ address }) => load(address));
  } finally {
    await control.configure(before);
  }
}

function pick<T>(found: ReadonlyMap<string, T[]>, value: (one: T) => number): ReadonlyMap<string, number[]> {
  return new Map([...found].map(([mode, rounds]) => [mode, rounds.map(value)]));
}

function note(
  findings: Findings,
  what: string,
  unit: string,
  found: ReadonlyMap<string, readonly number[]>,
): void {
  const [event = [], adaptive = []] = MODES.map((mode) => found.get(mode));
  findings.over(`adaptive over event: ${what}`, unit, adaptive, event);
}

export const modes: GuestMeasure = {
  name: 'modes',
  title: 'adaptive and event, echo',
  on: 'small',
  onlyByName: true,
  async run(stage, settings, findings) {
    for (const connections of ECHO_CONNECTIONS) {
      const found = await inModes(stage, settings, (address) =>
        ask(stage.yard, settings, { address, port: ECHO_PORT, connections, question: ECHO_QUESTION }),
      );
      const what = connectionsOf(connections);
      note(
        findings,
        what,
        'answers/s',
        pick(found, (one) => one.per_second),
      );
    }
  },
};

export const servicesInModes: GuestMeasure = {
  name: 'modes-services',
  title: 'adaptive and event, services',
  on: 'debian',
  onlyByName: true,
  async run(stage, settings, findings) {
    const { yard } = stage;
    for (const way of ['send', 'receive'] as const) {
      const found = await inModes(stage, settings, (address) => bulk(yard, settings, address, way));
      note(findings, `bulk, client ${way}s`, 'MB/s', found);
    }
    const requests = await inModes(stage, settings, (address) => http(yard, settings, address));
    note(findings, 'HTTP, 16 connections', 'requests/s', requests);
    const commands = await inModes(stage, settings, (address) => redis(yard, settings, address));
    for (const kind of ['SET', 'GET']) {
      const rates = pick(commands, (one) => one.get(kind) ?? NaN);
      note(findings, `redis ${kind}, 16 connections`, 'requests/s', rates);
    }
  },
};
