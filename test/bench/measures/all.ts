// Every measure, in the order in which a run makes them: those on the same guests together.
import { baseline } from './baseline.js';
import { cpu } from './cpu.js';
import { dirty } from './dirty.js';
import { echo } from './echo.js';
import { interval, intervalServices } from './interval.js';
import { modes, servicesInModes } from './modes.js';
import type { GuestMeasure, OwnMeasure } from './measure.js';
import { pause } from './pause.js';
import { promote } from './promote.js';
import { scan } from './scan.js';
import { bulkTransfer, http, redis } from './services.js';

export const OWN: readonly OwnMeasure[] = [scan];
export const ON_SMALL: readonly GuestMeasure[] = [pause, echo, cpu, interval, dirty, modes, promote];
export const ON_DEBIAN: readonly GuestMeasure[] = [
  bulkTransfer,
  http,
  redis,
  intervalServices,
  servicesInModes,
  baseline,
];
export const NAMES: readonly string[] = [...OWN, ...ON_SMALL, ...ON_DEBIAN].map(({ name }) => name);
