// What real services do: a web server, a key-value store, and plain transfers.
import { bulk, http as requests, redis as commands } from '../loads.js';
import { alternate } from '../rounds.js';
import type { GuestMeasure } from './measure.js';

export const bulkTransfer: GuestMeasure = {
  name: 'bulk',
  title: 'bulk transfer each way',
  on: 'debian',
  async run({ yard, subjects }, settings, findings) {
    const medians: number[] = [];
    for (const way of ['send', 'receive'] as const) {
      const found = await alternate(settings.rounds, subjects, ({ address }) =>
        bulk(yard, settings, address, way),
      );
      medians.push(findings.compared(`bulk, client ${way}s`, 'MB/s', found).median);
    }
    findings.figure('bulk_ratio', Math.min(...medians));
  },
};

export const http: GuestMeasure = {
  name: 'http',
  title: 'HTTP requests (nginx, a page of 1 KiB)',
  on: 'debian',
  async run({ yard, subjects }, settings, findings) {
    const found = await alternate(settings.rounds, subjects, ({ address }) =>
      requests(yard, settings, address),
    );
    findings.figure('http_ratio', findings.compared('HTTP, 16 connections', 'requests/s', found).median);
  },
};

export const redis: GuestMeasure = {
  name: 'redis',
  title: 'redis-benchmark, SET and GET',
  on: 'debian',
  async run({ yard, subjects }, settings, findings) {
    const found = await alternate(settings.rounds, subjects, ({ address }) =>
      commands(yard, settings, address),
    );
    const medians = ['SET', 'GET'].map((kind) => {
      const rates = new Map(
        [...found].map(([name, rounds]) => [name, rounds.map((one) => one.get(kind) ?? NaN)]),
      );
      return findings.compared(`redis ${kind}, 16 connections`, 'requests/s', rates).median;
    });
    findings.figure('redis_ratio', Math.min(...medians));
  },
};
