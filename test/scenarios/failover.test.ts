// The whole story, the demo's own: every promise holds. By conditions; the times are for people.
import { afterAll, expect, test } from 'vitest';
import { Lab } from '../lab/lab.js';
import { Narrator } from './demo/narrator.js';
import { promises } from './demo/result.js';
import { DemoStory } from './demo/story.js';

let lab: Lab | undefined;
let failed = true;
afterAll(async () => {
  await lab?.down({ keepLogs: failed });
  if (lab && failed) console.error(`the hosts' logs are in ${lab.run}`);
});

test('a guest and its connection survive a power failure, and move back home', async () => {
  lab = await Lab.up();
  const { result, survivor } = await new DemoStory(lab, new Narrator()).tell();
  for (const [kept, text] of promises(result, survivor)) expect(kept, text).toBe(true);
  expect(result.checkpoints).toBeGreaterThan(100);
  expect(result.answers).toBeGreaterThan(100);
  failed = false;
});
