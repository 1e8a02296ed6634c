import type { Complaint } from './place.js';
import { complaintsOf, parseDomain, type Allowed } from './read-domain.js';

export interface Conversion {
  /** What was written for libvirt, with what can be mended mended. */
  readonly text: string;
  /** What that changed, by the lines of the original. */
  readonly changes: readonly Complaint[];
  /** What somebody has to decide, by the lines of the new text. */
  readonly left: readonly Complaint[];
}

/** What is mended may show what is wrong behind it; nothing is wrong so often. */
const ROUNDS_MAX = 8;

/**
 * Makes a description for Kemari of one for libvirt.
 *
 * @throws AgentError bad-config: it is no XML that could be read.
 */
export function convertDomain(text: string, file: string, allowed: Allowed = {}): Conversion {
  const changes: Complaint[] = [];
  let converted = text;
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const document = parseDomain(converted, file);
    const found = complaintsOf(document, allowed);
    const mendable = found.filter(({ mend }) => mend !== undefined);
    if (mendable.length === 0) return { text: document.toString(), changes, left: found };
    for (const { mend } of mendable) mend?.();
    changes.push(...mendable);
    converted = document.toString();
  }
  return { text: converted, changes, left: complaintsOf(parseDomain(converted, file), allowed) };
}
