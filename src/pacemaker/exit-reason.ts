import { writeAll } from '../common/write-all.js';

/**
 * Pacemaker shows this line of stderr beside the failure (OCF 1.1: prefix and one line). It keeps the first 128 bytes and shows
 * `<` as `&lt;`: elements are in brackets here.
 */
export function exitReasonLine(reason: string): string {
  // Control characters would end the line early or change the terminal of who reads it.
  // eslint-disable-next-line no-control-regex
  const line = reason.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ').trim();
  return `ocf-exit-reason:${line.replaceAll('<', '[').replaceAll('>', ']')}\n`;
}

export function writeExitReason(reason: string): void {
  writeAll(2, exitReasonLine(reason));
}
