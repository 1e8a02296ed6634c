import { describe, expect, test } from 'vitest';
import { decideScore } from '../../src/supervise/decide-score.js';
import { formatDiskWord, parseDiskWord } from '../../src/supervise/disk-word.js';
import type { DurableState } from '../../src/supervise/durable-state.js';
import { durableAfter, durableAtStop, type EngineView } from '../../src/supervise/durable-transition.js';
import { allDisks, disk, engines, onlyPeer, word } from '../fixtures/evidence.js';

describe('what the disk says', () => {
  test('the generation never goes back', () => {
    for (const durable of allDisks) {
      for (const engine of engines) {
        for (const generation of [0, 1, 2, 3]) {
          const after = durableAfter(durable, { ...engine, generation }, 'n1', 'n2');
          expect(after.generation).toBeGreaterThanOrEqual(durable.generation);
          expect(durableAtStop(after, { ...engine, generation }).generation).toBe(after.generation);
        }
      }
    }
  });

  test('a replica, complete or not, never leaves a disk that may boot alone after a stop or a crash', () => {
    for (const durable of allDisks.filter(({ sync }) => sync !== 'none')) {
      for (const state of ['receiving', 'in-sync', 'handed-over'] as const) {
        const view: EngineView = { role: 'secondary', state, generation: 3 };
        const after = durableAfter(durable, view, 'n1', 'n2');
        const engine = { role: 'secondary', state: 'empty' } as const;
        for (const left of [after, durableAtStop(after, view), durableAtStop(after, undefined)]) {
          expect(
            decideScore({
              me: 'n1',
              engine,
              durable: left,
              peer_disks: onlyPeer(undefined),
              disk_writable: true,
            }),
          ).toBeNull();
        }
      }
    }
  });

  test('a guest that ran without a replica may boot alone after a stop', () => {
    const view: EngineView = { role: 'primary', state: 'solo', generation: 3 };
    const after = durableAtStop(durableAfter(disk(3, 'n1', 'protected'), view, 'n1', 'n2'), view);
    expect(after).toMatchObject({ sync: 'clean', owner: 'n1', generation: 3 });
  });

  test('a guest that had a replica, or may have had one, never boots alone after a stop or a crash', () => {
    const empty = { role: 'secondary', state: 'empty' } as const;
    for (const durable of allDisks) {
      for (const state of ['syncing', 'protected', 'frozen'] as const) {
        for (const generation of [0, 1, 2, 3]) {
          const view: EngineView = { role: 'primary', state, generation };
          const after = durableAfter(durable, view, 'n1', 'n2');
          expect(after).toMatchObject({ owner: 'n1', role: 'primary', sync: 'protected' });
          // The stop may come before the disk has followed the engine.
          const stops = [durableAtStop(durable, view), durableAtStop(after, view)];
          for (const left of [after, durableAtStop(after, undefined), ...stops]) {
            expect(left.sync).toBe('protected');
            expect(
              decideScore({
                me: 'n1',
                engine: empty,
                durable: left,
                peer_disks: onlyPeer(undefined),
                disk_writable: true,
              }),
            ).toBeNull();
          }
        }
      }
    }
  });

  test.each<[string, DurableState, EngineView['state'], number, Partial<DurableState>]>([
    ['a replica begins', disk(5, 'n1', 'solo'), 'syncing', 5, { generation: 5, sync: 'protected' }],
    ['it is given up', disk(5, 'n1', 'protected'), 'solo', 5, { generation: 5, sync: 'solo' }],
    ['its first ack is lost', disk(5, 'n1', 'solo'), 'frozen', 5, { generation: 5, sync: 'protected' }],
    [
      'a step to solo that was only written, link back',
      disk(5, 'n1', 'solo'),
      'protected',
      4,
      { generation: 5, owner: 'n1', sync: 'protected' },
    ],
    [
      'a step to solo that was only written, no link',
      disk(5, 'n1', 'solo'),
      'frozen',
      4,
      { generation: 5, owner: 'n1', sync: 'protected' },
    ],
    [
      'a promotion that was only written',
      disk(5, 'n1', 'solo'),
      'in-sync',
      4,
      { generation: 5, owner: 'n2', role: 'secondary', sync: 'protected' },
    ],
    [
      'a promotion that came late',
      disk(5, 'n2', 'protected'),
      'solo',
      5,
      { generation: 5, owner: 'n1', role: 'primary', sync: 'solo' },
    ],
    ['a solo of an older generation', disk(5, 'n2', 'protected'), 'solo', 4, disk(5, 'n2', 'protected')],
  ])('%s', (_, durable, state, generation, after) => {
    const role = engines.find((one) => one.state === state)?.role ?? 'primary';
    expect(durableAfter(durable, { role, state, generation }, 'n1', 'n2')).toMatchObject(after);
  });

  test('a primary that dies over a replica, complete or not, starts cold once both nodes are there', () => {
    const empty = { role: 'secondary', state: 'empty' } as const;
    const lost: EngineView = { role: 'primary', state: 'syncing', generation: 3 };
    const one = durableAtStop(durableAfter(disk(3, 'n1', 'solo'), lost, 'n1', 'n2'), undefined);
    for (const before of [disk(0, null, 'none'), disk(2, 'n2', 'solo'), disk(2, 'n1', 'outdated')]) {
      for (const state of ['receiving', 'in-sync'] as const) {
        const view: EngineView = { role: 'secondary', state, generation: 3 };
        const other = durableAtStop(durableAfter(before, view, 'n2', 'n1'), undefined);
        const seen = (left: DurableState) => word(formatDiskWord(left, 'secondary'));
        expect(
          decideScore({
            me: 'n1',
            engine: empty,
            durable: one,
            peer_disks: onlyPeer(seen(other)),
            disk_writable: true,
          }),
        ).toBe(10);
        const score = decideScore({
          me: 'n2',
          engine: empty,
          durable: other,
          peer_disks: onlyPeer(seen(one)),
          disk_writable: true,
        });
        expect(score).toBe(state === 'in-sync' ? 5 : null);
      }
    }
  });

  test('a stop of an empty engine keeps the right to boot', () => {
    const durable = disk(5, 'n1', 'clean');
    expect(durableAtStop(durable, { role: 'secondary', state: 'empty', generation: 0 })).toBe(durable);
  });

  test('the word for the other node survives the way there, and nonsense is no word', () => {
    for (const durable of allDisks) {
      const { generation, owner, sync } = durable;
      expect(parseDiskWord(formatDiskWord(durable, 'primary'))).toEqual({
        generation,
        owner,
        sync,
        role: 'primary',
      });
    }
    for (const text of [
      undefined,
      '',
      '1',
      '1:n1:solo',
      '-1:n1:solo:primary',
      '1:n1:solo:primary:x',
      'x:n1:solo:primary',
    ]) {
      expect(parseDiskWord(text)).toBeUndefined();
    }
  });
});
