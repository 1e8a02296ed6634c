import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { describe } from '../../src/actions/status.js';

interface Reply {
  readonly ok?: { readonly status?: Readonly<Record<string, unknown>> };
}

const replies = JSON.parse(
  await readFile(new URL('../contract/control/replies.json', import.meta.url), 'utf8'),
) as readonly Reply[];
const [primary, secondary] = replies.flatMap(({ ok }) => (ok?.status ? [ok.status] : []));

test('status says how the guest is paused and how its clocks are doing', () => {
  const lines = describe({ resource: 'vm1', node: 'n1', engine: primary }).split('\n');
  expect(lines).toContain('  paused       48% of the last seconds');
  expect(lines.join('\n')).toMatch(/ guest {8}stands still: it has reached epoch_age/);
  expect(lines).toContain("  guest time   0 ms behind the host's");
});

test('status says since when outputs wait', () => {
  const engine = { ...primary, state: 'frozen' };
  const frozen = {
    resource: 'vm1',
    node: 'n1',
    engine,
    frozen_since_ms: Date.parse('2026-01-02T03:04:05.678Z'),
  };
  expect(describe(frozen)).toContain('primary, frozen since 2026-01-02 03:04:05Z');
  expect(describe({ ...frozen, frozen_since_ms: null })).toMatch(/primary, frozen$/m);
});

test('a node without the guest does not speak of its time', () => {
  const text = describe({ resource: 'vm1', node: 'n2', engine: secondary });
  expect(text).toContain('secondary, receiving');
  expect(text).not.toMatch(/paused|stands still|guest time/);
});

test('a sick guest is called so, with the reason', () => {
  const sick = 'monitor script /etc/kemari/web failed (exit 1)';
  expect(describe({ resource: 'vm1', node: 'n1', engine: primary, sick }).split('\n')).toContain(
    `  guest        SICK: ${sick}`,
  );
  expect(describe({ resource: 'vm1', node: 'n1', engine: primary, sick: null })).not.toContain('SICK');
});
