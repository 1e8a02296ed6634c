import { describe, expect, test } from 'vitest';
import type { EngineStatus } from '../../src/engine/messages.js';
import { decideMonitor } from '../../src/supervise/decide-monitor.js';
import { decidePromotion } from '../../src/supervise/decide-promotion.js';
import { decideScore, type Score } from '../../src/supervise/decide-score.js';
import { maySolo } from '../../src/supervise/decide-solo.js';
import { formatDiskWord, parseDiskWord, type DiskWord } from '../../src/supervise/disk-word.js';
import { initialState, type DurableState, type SyncWord } from '../../src/supervise/durable-state.js';
import { durableAfter, durableAtStop, type EngineView } from '../../src/supervise/durable-transition.js';

const syncWords: readonly SyncWord[] = ['none', 'protected', 'solo', 'outdated', 'clean'];
const primaryStates = ['solo', 'syncing', 'protected', 'frozen', 'ended'] as const;
const secondaryStates = ['empty', 'receiving', 'in-sync', 'handed-over', 'parked'] as const;
const engines = [
  ...primaryStates.map((state) => ({ role: 'primary' as const, state })),
  ...secondaryStates.map((state) => ({ role: 'secondary' as const, state })),
];

function disk(generation: number, owner: string | null, sync: SyncWord): DurableState {
  return { ...initialState('6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f'), generation, owner, sync };
}
function word(text: string): DiskWord | undefined {
  return text === '-' ? undefined : parseDiskWord(text);
}
function status(view: Partial<EngineStatus>): EngineStatus {
  return {
    engine_id: 'e',
    engine_version: '0.1.0',
    resource: 'vm1',
    role: 'secondary',
    state: 'empty',
    guest: 'incoming',
    paused_for: null,
    generation: 0,
    epoch: 0,
    peer: { connected: false, node: 'n2', engine_id: null },
    transport: 'tls',
    accel: 'tcg',
    accel_reason: null,
    tracker: 'pagemap-scan',
    tracker_reason: null,
    encoding: null,
    qemu_pid: null,
    tuning: {
      sync_mode: 'adaptive',
      commit: 'pipelined',
      interval_ms: 20,
      latency_budget_ms: 5,
      paused_max_percent: 75,
      compression: 'auto',
    },
    sync_progress: null,
    held_packets: 0,
    held_bytes: 0,
    released_packets: 0,
    checkpoints: 0,
    pause_us: null,
    pause_parts_us: null,
    transaction_bytes: null,
    checkpoint_pages: 0,
    checkpoint_bytes: 0,
    paused_percent: null,
    guest_lag_ms: null,
    epoch_us: null,
    dirty_pages: null,
    promotion_us: null,
    data_thread_idle_ms: 0,
    last_error: null,
    ...view,
  };
}

describe('decideScore', () => {
  test.each<[EngineView['state'], Score]>([
    ['solo', 10000],
    ['syncing', 10000],
    ['protected', 10000],
    ['frozen', 10000],
    ['ended', null],
    ['in-sync', 1000],
    ['handed-over', 1000],
    ['parked', 1000],
    ['receiving', null],
  ])('an engine that is %s scores %s, whatever the disks say', (state, score) => {
    const engine = engines.find((one) => one.state === state);
    for (const sync of syncWords) {
      for (const peer of ['-', '9:n2:protected:primary', '0:-:none:secondary']) {
        expect(
          decideScore({
            me: 'n1',
            engine,
            durable: disk(3, 'n1', sync),
            peer_disk: word(peer),
            disk_writable: true,
          }),
        ).toBe(score);
      }
    }
  });

  test.each<[string, DurableState, string, Score]>([
    ['peer unknown, own disk solo and owner', disk(3, 'n1', 'solo'), '-', 10],
    ['peer unknown, own disk clean and owner', disk(3, 'n1', 'clean'), '-', 10],
    ['peer unknown, clean but the other owns it', disk(3, 'n2', 'clean'), '-', null],
    ['peer unknown, own disk protected', disk(3, 'n1', 'protected'), '-', null],
    ['peer unknown, own disk outdated', disk(3, 'n1', 'outdated'), '-', null],
    ['peer unknown, never had the guest', disk(0, null, 'none'), '-', null],
    ['peer runs the guest', disk(9, 'n1', 'solo'), '3:n2:solo:primary', null],
    ['own generation higher', disk(4, 'n2', 'outdated'), '3:n2:solo:secondary', 10],
    ['own generation lower', disk(3, 'n1', 'solo'), '4:n2:outdated:secondary', null],
    ['equal, I am the owner', disk(3, 'n1', 'protected'), '3:n1:protected:secondary', 10],
    ['equal, the other is', disk(3, 'n2', 'protected'), '3:n2:protected:secondary', 5],
    ['equal, nobody ever was', disk(0, null, 'none'), '0:-:none:secondary', 5],
    ['the other says nonsense', disk(3, 'n1', 'protected'), '3:n1:fine', null],
  ])('empty engine, %s', (_, durable, peer, score) => {
    const engine = { role: 'secondary', state: 'empty' } as const;
    expect(decideScore({ me: 'n1', engine, durable, peer_disk: word(peer), disk_writable: true })).toBe(
      score,
    );
  });

  test('a disk that takes no write takes the score away, except from a guest that runs', () => {
    for (const engine of engines) {
      for (const durable of allDisks) {
        const evidence = { me: 'n1', engine, durable, peer_disk: word('0:-:none:secondary') };
        const score = decideScore({ ...evidence, disk_writable: false });
        expect(score).toBe(engine.role === 'primary' && engine.state !== 'ended' ? 10000 : null);
      }
    }
  });

  test('no engine, no score', () => {
    expect(
      decideScore({
        me: 'n1',
        engine: undefined,
        durable: disk(3, 'n1', 'solo'),
        peer_disk: undefined,
        disk_writable: true,
      }),
    ).toBeNull();
  });

  test('of two empty nodes that see each other, never do both think they are the better one', () => {
    const engine = { role: 'secondary', state: 'empty' } as const;
    for (const [one, other] of pairsOfDisks()) {
      const scores = [
        decideScore({
          me: 'n1',
          engine,
          durable: one,
          peer_disk: word(formatDiskWord(other, false)),
          disk_writable: true,
        }),
        decideScore({
          me: 'n2',
          engine,
          durable: other,
          peer_disk: word(formatDiskWord(one, false)),
          disk_writable: true,
        }),
      ];
      if (one.generation === other.generation && one.owner !== other.owner) continue; // not one history
      expect(scores.filter((score) => score === 10).length, JSON.stringify([one, other])).toBeLessThan(2);
      const lower = one.generation < other.generation ? 0 : one.generation > other.generation ? 1 : undefined;
      if (lower !== undefined) expect(scores[lower]).toBeNull();
    }
  });
});

const allDisks = [0, 1, 2].flatMap((generation) =>
  [null, 'n1', 'n2'].flatMap((owner) => syncWords.map((sync) => disk(generation, owner, sync))),
);

function* pairsOfDisks(): Generator<[DurableState, DurableState]> {
  for (const one of allDisks) for (const other of allDisks) yield [one, other];
}

describe('decidePromotion', () => {
  const base = {
    resource: 'vm1',
    me: 'n2',
    peer: 'n1',
    durable: disk(4, 'n1', 'protected'),
    peer_disk: undefined,
  };

  test.each(['in-sync', 'handed-over', 'parked'] as const)('%s is promoted hot', (state) => {
    expect(decidePromotion({ ...base, engine: status({ state, generation: 4 }) })).toEqual({
      kind: 'hot',
      generation: 5,
    });
  });

  test.each(['solo', 'syncing', 'protected', 'frozen'] as const)('%s is promoted already', (state) => {
    expect(decidePromotion({ ...base, engine: status({ role: 'primary', state }) })).toEqual({
      kind: 'already',
    });
  });

  test('the generation is above both the disk’s and the replica’s', () => {
    for (const [own, replica] of [
      [0, 0],
      [7, 3],
      [3, 7],
      [7, 7],
    ] as const) {
      const engine = status({ state: 'in-sync', generation: replica });
      const decision = decidePromotion({ ...base, durable: disk(own, 'n1', 'protected'), engine });
      expect(decision).toEqual({ kind: 'hot', generation: Math.max(own, replica) + 1 });
    }
  });

  test('an incomplete replica is refused with its progress', () => {
    const sync_progress = {
      percent: 43,
      round: 1,
      bytes: 1,
      bytes_per_second: 1,
      remaining_bytes: 1,
      remaining_seconds: null,
      brake_percent: 0,
    };
    expect(decidePromotion({ ...base, engine: status({ state: 'receiving', sync_progress }) })).toEqual({
      kind: 'refuse',
      reason: 'the replica on n2 is not complete (43%): promoting it would start a broken guest',
    });
  });

  test.each([
    ['-', 'while n1 is away: start n1'],
    ['4:n1:protected:primary', 'n1 runs the guest of vm1'],
    ['5:n1:solo:secondary', 'n1 has the newer guest of vm1 (generation 5, here 4): promote n1'],
  ])('an empty engine beside %s is refused', (peer, reason) => {
    const decision = decidePromotion({ ...base, engine: status({}), peer_disk: word(peer) });
    expect(decision).toMatchObject({ kind: 'refuse' });
    expect('reason' in decision && decision.reason).toContain(reason);
  });

  test('an empty engine is promoted cold exactly when it has a score', () => {
    for (const [one, other] of pairsOfDisks()) {
      for (const peer_disk of [
        undefined,
        word(formatDiskWord(other, false)),
        word(formatDiskWord(other, true)),
      ]) {
        const engine = status({});
        const score = decideScore({ me: 'n1', engine, durable: one, peer_disk, disk_writable: true });
        const { kind } = decidePromotion({ ...base, me: 'n1', peer: 'n2', durable: one, engine, peer_disk });
        expect(kind).toBe(score === null ? 'refuse' : 'cold');
      }
    }
  });

  test('a guest that powered itself off is not brought back by a promote', () => {
    expect(decidePromotion({ ...base, engine: status({ role: 'primary', state: 'ended' }) })).toMatchObject({
      kind: 'refuse',
    });
  });
});

describe('decideMonitor', () => {
  test.each<[EngineView['state'], number, number]>([
    ['protected', 8, 8],
    ['frozen', 8, 8],
    ['solo', 8, 191],
    ['syncing', 8, 191],
    ['ended', 7, 7],
    ['in-sync', 0, 0],
    ['handed-over', 0, 0],
    ['parked', 0, 0],
    ['receiving', 0, 190],
    ['empty', 0, 0],
  ])('%s is %d, and %d to a recurring monitor', (state, code, recurring) => {
    const { role } = engines.find((one) => one.state === state) ?? { role: 'primary' };
    const verdict = decideMonitor({
      phase: 'running',
      engine: status({ role, state }),
      was_promoted: role === 'primary',
      failure: undefined,
    });
    expect(verdict).toMatchObject({ code, recurring });
  });

  test.each([
    ['primary', 9],
    ['secondary', 1],
  ] as const)('a %s whose data thread is stuck is %d', (role, code) => {
    const engine = status({
      role,
      state: role === 'primary' ? 'frozen' : 'in-sync',
      data_thread_idle_ms: 15_001,
    });
    const verdict = decideMonitor({
      phase: 'running',
      engine,
      was_promoted: role === 'primary',
      failure: undefined,
    });
    expect(verdict).toMatchObject({ code, recurring: code });
    expect(verdict.reason).toContain('15 s');
  });

  test.each([
    ['running', true, 9],
    ['running', false, 1],
    ['lost', true, 9],
    ['lost', false, 7],
    ['failed', false, 7],
    ['starting', false, 7],
    ['stopping', true, 7],
  ] as const)('no engine while %s, promoted %s: %d', (phase, was_promoted, code) => {
    expect(decideMonitor({ phase, engine: undefined, was_promoted, failure: undefined })).toMatchObject({
      code,
    });
  });
});

describe('maySolo', () => {
  const engine: EngineView = { role: 'primary', state: 'frozen', generation: 4 };

  test('frozen, the other’s word for this generation, and quorum', () => {
    expect(maySolo({ engine, peer_outdated_generation: 4, quorate: true })).toBe(true);
  });

  test.each([
    ['no quorum', { quorate: false }],
    ['no word', { peer_outdated_generation: undefined }],
    ['the word for an older generation', { peer_outdated_generation: 3 }],
    ['the word for a later generation', { peer_outdated_generation: 5 }],
  ])('not with %s', (_, change) => {
    expect(maySolo({ engine, peer_outdated_generation: 4, quorate: true, ...change })).toBe(false);
  });

  test('not in any other state', () => {
    for (const other of engines.filter(({ state }) => state !== 'frozen')) {
      expect(
        maySolo({ engine: { ...other, generation: 4 }, peer_outdated_generation: 4, quorate: true }),
      ).toBe(false);
    }
  });
});

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
            decideScore({ me: 'n1', engine, durable: left, peer_disk: undefined, disk_writable: true }),
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
                peer_disk: undefined,
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
        const seen = (left: DurableState) => word(formatDiskWord(left, false));
        expect(
          decideScore({ me: 'n1', engine: empty, durable: one, peer_disk: seen(other), disk_writable: true }),
        ).toBe(10);
        const score = decideScore({
          me: 'n2',
          engine: empty,
          durable: other,
          peer_disk: seen(one),
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
      expect(parseDiskWord(formatDiskWord(durable, true))).toEqual({
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
