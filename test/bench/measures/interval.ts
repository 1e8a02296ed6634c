// The guest is kept in step every 20 ms, whatever it sends: outputs wait for so long by intention. What that costs beside
// the time of an answer shows with as many questions on their way as make up for it.
import { bulk, compute, http, redis, type Breadth } from '../loads.js';
import { alternate } from '../rounds.js';
import type { Findings } from '../report/findings.js';
import type { FieldName } from '../report/fields.js';
import type { Settings } from '../settings.js';
import type { Stage } from '../stage.js';
import type { GuestMeasure } from './measure.js';

const INTERVAL_MS = 20;
const WHAT = `every ${INTERVAL_MS} ms`;
/** More than the unprotected guest answers within an epoch and the way to its release and back. */
const WIDE_HTTP: Breadth = { connections: 256, outstanding: 1 };
const WIDE_REDIS: Breadth = { connections: 64, outstanding: 32 };
/** Of as many outstanding requests each, redis-benchmark has to make more of them to last as long. */
const MORE_REQUESTS = 4;

/** Has the protected guest checkpointed at that interval while `work` is done; it is left as it was. */
async function atInterval({ pair }: Stage, work: () => Promise<void>): Promise<void> {
  const { control } = pair.primary;
  const before = (await control.status()).tuning;
  await control.configure({ sync_mode: 'interval', interval_ms: INTERVAL_MS });
  try {
    await work();
  } finally {
    await control.configure(before);
  }
}

export const interval: GuestMeasure = {
  name: 'interval',
  title: `computing, a checkpoint ${WHAT}`,
  on: 'small',
  run: (stage, settings, findings) =>
    atInterval(stage, async () => {
      const found = await alternate(settings.rounds, [stage.plain, stage.guarded], ({ address }) =>
        compute(stage.yard, settings, address),
      );
      const { median } = findings.compared(`${WHAT}: computing`, 'rounds/s', found);
      findings.figure('interval20_cpu_ratio', median);
    }),
};

/** One load on the unprotected and the protected guest; returns the ratio of each of its rates. */
async function ratiosOf(
  { yard, plain, guarded }: Stage,
  settings: Settings,
  findings: Findings,
  unit: string,
  load: (yard: Stage['yard'], address: string) => Promise<ReadonlyMap<string, number>>,
): Promise<number[]> {
  const found = await alternate(settings.rounds, [plain, guarded], ({ address }) => load(yard, address));
  const names = [...(found.get('plain')?.[0]?.keys() ?? [])];
  return names.map((name) => {
    const rates = [...found].map(
      ([subject, rounds]) => [subject, rounds.map((one) => one.get(name) ?? NaN)] as const,
    );
    return findings.compared(`${WHAT}: ${name}`, unit, new Map(rates)).median;
  });
}

export const intervalServices: GuestMeasure = {
  name: 'interval-services',
  title: `services, a checkpoint ${WHAT}`,
  on: 'debian',
  isLong: true,
  run: (stage, settings, findings) =>
    atInterval(stage, async () => {
      const worst = (name: FieldName, ratios: readonly number[]): void => {
        findings.figure(name, Math.min(...ratios));
      };
      const { connections } = WIDE_HTTP;
      const requests = async (yard: Stage['yard'], address: string): Promise<ReadonlyMap<string, number>> =>
        new Map([[`HTTP, ${connections} connections`, await http(yard, settings, address, WIDE_HTTP)]]);
      worst('interval20_http_ratio', await ratiosOf(stage, settings, findings, 'requests/s', requests));

      const more = { ...settings, redis_requests: settings.redis_requests * MORE_REQUESTS };
      const commands = async (yard: Stage['yard'], address: string): Promise<ReadonlyMap<string, number>> => {
        const rates = await redis(yard, more, address, WIDE_REDIS);
        const breadth = `${WIDE_REDIS.connections} connections of ${WIDE_REDIS.outstanding}`;
        return new Map([...rates].map(([kind, rate]) => [`redis ${kind}, ${breadth}`, rate]));
      };
      worst('interval20_redis_ratio', await ratiosOf(stage, settings, findings, 'requests/s', commands));

      const transfers = async (
        yard: Stage['yard'],
        address: string,
      ): Promise<ReadonlyMap<string, number>> => {
        const rates = new Map<string, number>();
        for (const way of ['send', 'receive'] as const)
          rates.set(`bulk, client ${way}s`, await bulk(yard, settings, address, way));
        return rates;
      };
      worst('interval20_bulk_ratio', await ratiosOf(stage, settings, findings, 'MB/s', transfers));
    }),
};
