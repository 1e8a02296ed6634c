import { AgentError } from './error.js';

/** Waits no longer than that. The work goes on all the same, and nobody hears of it any more. @throws AgentError timeout */
export async function bounded<Result>(
  what: string,
  work: Promise<Result>,
  timeoutMs: number,
): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new AgentError('timeout', `${what} took more than ${Math.floor(timeoutMs)} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
