import { writeSync } from 'node:fs';
import { systemCodeOf } from './error.js';
import { limits } from './limits.js';

/**
 * Writes all of a text to a descriptor before it returns, also to a pipe that its reader has made non-blocking; a reader that
 * has gone gets no more. `process.stdout` and `process.stderr` would keep what a pipe does not take yet, which is lost when the
 * process ends, and what they need (streams, terminals, sockets) costs as much as a whole monitor.
 */
export function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length;) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      const code = systemCodeOf(error);
      if (code === 'EPIPE') return;
      if (code !== 'EAGAIN') throw error;
      // The pipe is full: nobody is waited for but its reader.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, limits.full_pipe_ms);
    }
  }
}
