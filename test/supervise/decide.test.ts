import { describe, expect, test } from 'vitest';
import { decideMonitor } from '../../src/supervise/decide-monitor.js';
import { decidePromotion } from '../../src/supervise/decide-promotion.js';
import { decideScore, type Score } from '../../src/supervise/decide-score.js';
import { maySolo } from '../../src/supervise/decide-solo.js';
import { formatDiskWord } from '../../src/supervise/disk-word.js';
import type { DurableState } from '../../src/supervise/durable-state.js';
import type { EngineView } from '../../src/supervise/durable-transition.js';
import {
  allDisks,
  disk,
  engines,
  onlyPeer,
  pairsOfDisks,
  status,
  syncWords,
  word,
} from '../fixtures/evidence.js';

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
            peer_disks: onlyPeer(word(peer)),
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
    [
      'equal, I am the owner, but it was handed over',
      disk(3, 'n1', 'outdated'),
      '3:n1:protected:secondary',
      null,
    ],
    ['equal, handed over, and lost there too', disk(3, 'n1', 'outdated'), '3:n1:outdated:secondary', 10],
    ['equal, the other is', disk(3, 'n2', 'protected'), '3:n2:protected:secondary', 5],
    ['equal, nobody ever was', disk(0, null, 'none'), '0:-:none:secondary', 5],
    ['the other is stopped and may boot alone', disk(3, 'n2', 'protected'), '3:n2:clean:stopped', null],
    ['the other is stopped and may not', disk(3, 'n2', 'outdated'), '3:n2:protected:stopped', 5],
    ['the other says nonsense', disk(3, 'n1', 'protected'), '3:n1:fine', null],
  ])('empty engine, %s', (_, durable, peer, score) => {
    const engine = { role: 'secondary', state: 'empty' } as const;
    expect(
      decideScore({ me: 'n1', engine, durable, peer_disks: onlyPeer(word(peer)), disk_writable: true }),
    ).toBe(score);
  });

  test('a disk that takes no write takes the score away, except from a guest that runs', () => {
    for (const engine of engines) {
      for (const durable of allDisks) {
        const evidence = { me: 'n1', engine, durable, peer_disks: onlyPeer(word('0:-:none:secondary')) };
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
        peer_disks: onlyPeer(undefined),
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
          peer_disks: onlyPeer(word(formatDiskWord(other, 'secondary'))),
          disk_writable: true,
        }),
        decideScore({
          me: 'n2',
          engine,
          durable: other,
          peer_disks: onlyPeer(word(formatDiskWord(one, 'secondary'))),
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

describe('a cold start among three nodes', () => {
  const empty = { role: 'secondary', state: 'empty' } as const;
  const words = ['-', '2:n2:outdated:secondary', '3:n1:outdated:secondary', '3:n2:solo:primary'];
  const score = (durable: DurableState, ...said: readonly string[]) =>
    decideScore({
      me: 'n1',
      engine: empty,
      durable,
      peer_disks: new Map(said.map((text, index) => [`n${index + 2}`, word(text)])),
      disk_writable: true,
    });

  test('needs the word of every other node, whatever the own disk says', () => {
    for (const durable of allDisks)
      for (const said of words) {
        expect(score(durable, said, '-')).toBeNull();
        expect(score(durable, '-', said)).toBeNull();
      }
  });

  test('is for the one whose guest nobody has overtaken', () => {
    for (const durable of allDisks)
      for (const one of words.slice(1))
        for (const other of words.slice(1)) {
          const both = score(durable, one, other);
          // As beside each of them alone, and not more.
          const alone = [score(durable, one), score(durable, other)];
          if (alone.includes(null)) expect(both).toBeNull();
          else expect(both).toBe(Math.min(...alone.map(Number)));
        }
  });

  test('names those who are away', () => {
    const evidence = { resource: 'vm1', me: 'n1', durable: disk(3, 'n1', 'clean'), engine: status({}) };
    const peer_disks = new Map([
      ['n2', word('3:n1:outdated:secondary')],
      ['n3', undefined],
    ]);
    const decision = decidePromotion({ ...evidence, peer_disks });
    expect('reason' in decision && decision.reason).toContain('while n3 is away: start n3');
  });
});

describe('decidePromotion', () => {
  const base = {
    resource: 'vm1',
    me: 'n2',
    durable: disk(4, 'n1', 'protected'),
    peer_disks: onlyPeer(undefined, 'n1'),
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
    const decision = decidePromotion({ ...base, engine: status({}), peer_disks: onlyPeer(word(peer), 'n1') });
    expect(decision).toMatchObject({ kind: 'refuse' });
    expect('reason' in decision && decision.reason).toContain(reason);
  });

  test('an empty engine is promoted cold exactly when it has a score', () => {
    for (const [one, other] of pairsOfDisks()) {
      for (const said of [
        undefined,
        word(formatDiskWord(other, 'secondary')),
        word(formatDiskWord(other, 'primary')),
      ]) {
        const peer_disks = onlyPeer(said);
        const engine = status({});
        const score = decideScore({ me: 'n1', engine, durable: one, peer_disks, disk_writable: true });
        const { kind } = decidePromotion({ ...base, me: 'n1', durable: one, engine, peer_disks });
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
    ['receiving', 0, 0],
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

  test('a replica that was left behind is degraded to a recurring monitor until a new one is made', () => {
    const engine = status({ role: 'secondary', state: 'empty' });
    const left = { phase: 'running', engine, was_promoted: false, failure: undefined } as const;
    const verdict = decideMonitor({ ...left, sync: 'outdated' });
    expect(verdict).toMatchObject({ code: 0, recurring: 190 });
    expect(verdict.reason).toMatch(/^outdated/);
    expect(Buffer.byteLength(verdict.reason ?? '')).toBeLessThanOrEqual(128);
    for (const sync of ['none', 'protected', 'solo', 'clean'] as const)
      expect(decideMonitor({ ...left, sync })).toMatchObject({ code: 0, recurring: 0 });
  });

  test('a replica that is being built is degraded when that takes long', () => {
    const engine = status({ role: 'secondary', state: 'receiving' });
    const left = { phase: 'running', engine, was_promoted: false, failure: undefined } as const;
    expect(decideMonitor({ ...left, receiving_ms: 14_999 })).toMatchObject({ code: 0, recurring: 0 });
    expect(decideMonitor({ ...left, receiving_ms: 15_000 })).toMatchObject({ code: 0, recurring: 190 });
  });

  test.each(['freeze', 'ack'])('a frozen guest that is paused (%s) is degraded and lives', (paused_for) => {
    const engine = status({ role: 'primary', state: 'frozen', guest: 'paused', paused_for });
    const verdict = decideMonitor({ phase: 'running', engine, was_promoted: true, failure: undefined });
    expect(verdict).toMatchObject({ code: 8, recurring: 191 });
    expect(verdict.reason).toContain('the guest is paused until the other node is back');
    expect(Buffer.byteLength(verdict.reason ?? '')).toBeLessThanOrEqual(128);
    // For a checkpoint that is on its way it is paused for moments only.
    const waits = status({ role: 'primary', state: 'protected', guest: 'paused', paused_for: 'ack' });
    const well = decideMonitor({ phase: 'running', engine: waits, was_promoted: true, failure: undefined });
    expect(well).toMatchObject({ code: 8, recurring: 8 });
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

  test('a lost engine that Pacemaker is still to be told of is degraded to a recurring monitor, once it is demoted', () => {
    const lost = { phase: 'lost', engine: undefined, failure: 'gone', report_due: true } as const;
    expect(decideMonitor({ ...lost, was_promoted: false })).toMatchObject({ code: 7, recurring: 190 });
    expect(decideMonitor({ ...lost, was_promoted: true })).toMatchObject({ code: 9, recurring: 9 });
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
