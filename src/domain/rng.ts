import type { Place } from './place.js';
import { wholeNumber } from './values.js';
import type { Rng } from './vm.js';

const RATE_BYTES_MAX = 1 << 20;
const PERIOD_MS_MAX = 3_600_000;
/** libvirt's default. */
const PERIOD_MS = 1000;
const EXAMPLE = "<backend model='random'>/dev/urandom</backend>";

function sourceOf(place: Place): Rng['source'] {
  const model = place.required('model', 'random');
  if (model === 'builtin') return model;
  if (model !== 'random')
    return place.refuse(`has model='${model.slice(0, 40)}': write ${EXAMPLE}, which both nodes have`);
  const path = place.text();
  if (path === '/dev/urandom' || path === '') return 'urandom';
  if (path === '/dev/random') return 'random';
  return place.refuseText(`write ${EXAMPLE}, which both nodes have`);
}

/** The device that gives the guest random numbers of the host it runs on. */
export function readRng(place: Place): Rng {
  const model = place.required('model', 'virtio');
  if (model !== 'virtio' && model !== 'virtio-transitional')
    return place.refuse(`has model='${model.slice(0, 40)}': write model='virtio'`);
  const rate = place.one('rate', (inner) => ({
    bytes: wholeNumber(inner, inner.required('bytes', '1024'), 'bytes', 1, RATE_BYTES_MAX),
    period_ms: wholeNumber(inner, inner.attribute('period') ?? String(PERIOD_MS), 'period', 1, PERIOD_MS_MAX),
  }));
  const source = place.needed('backend', EXAMPLE, sourceOf);
  place.skipAll('alias');
  return { ...place.whole({ source }), rate };
}
