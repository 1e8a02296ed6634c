import { expect, test } from 'vitest';
import { exitReasonLine } from '../../src/pacemaker/exit-reason.js';

test('a reason is one line, without what Pacemaker would escape', () => {
  expect(exitReasonLine('/etc/vm1.xml:15: <disk> in\n<devices>\u001b[31m is not supported ')).toBe(
    'ocf-exit-reason:/etc/vm1.xml:15: [disk] in [devices] [31m is not supported\n',
  );
});
