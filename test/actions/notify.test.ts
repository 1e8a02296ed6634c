import { expect, test } from 'vitest';
import { readNotification } from '../../src/actions/notify.js';
import { Host } from '../fixtures/host.js';

const named = (values: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`OCF_RESKEY_CRM_meta_notify_${name}`, value]),
  );
const promotion = { type: 'pre', operation: 'promote', promote_uname: 'n2' };
const expected = { moment: 'pre-promote', subjects: ['n2'], promoted: ['n1'], unpromoted: ['n2', 'n3'] };

test.each([
  ['new', { promoted_uname: 'n1', unpromoted_uname: 'n2  n3 ' }],
  ['old', { master_uname: 'n1', slave_uname: 'n2 n3' }],
  ['both', { promoted_uname: 'n1', master_uname: 'n1', unpromoted_uname: 'n2 n3', slave_uname: 'n2 n3' }],
  // Pacemaker writes a blank for an empty list.
  ['old beside blank new', { promoted_uname: ' ', master_uname: 'n1', slave_uname: 'n2 n3' }],
])('the %s names of the roles are read', (_, names) => {
  expect(readNotification(named({ ...promotion, ...names }))).toEqual(expected);
});

test('what is no notification is none', () => {
  expect(readNotification({})).toBeUndefined();
  expect(readNotification(named({ type: 'during', operation: 'stop' }))).toBeUndefined();
  expect(readNotification(named({ type: 'post' }))).toBeUndefined();
});

test('a notification is logged, and whatever it says is no error', async () => {
  const host = await Host.create();
  const env = named({
    type: 'post',
    operation: 'stop',
    stop_uname: 'n1',
    master_uname: ' ',
    slave_uname: 'n1',
  });
  expect(await host.run('notify', env)).toMatchObject({
    code: 0,
    reason: undefined,
    stderr: 'post-stop on n1; promoted on nowhere, unpromoted on n1',
  });
  expect(await host.run('notify')).toMatchObject({ code: 0, stderr: '' });
});
