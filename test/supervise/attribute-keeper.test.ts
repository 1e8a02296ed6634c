import { expect, test } from 'vitest';
import { AttributeKeeper } from '../../src/supervise/attribute-keeper.js';
import { eventually } from '../fixtures/eventually.js';

/** An attrd in memory that fails as often as it is told to. */
class Attrd {
  value: string | undefined = 'left by an earlier life';
  calls: (string | null)[] = [];
  failures = 0;

  read(): Promise<string | undefined> {
    return Promise.resolve(this.value);
  }
  set(value: string): Promise<void> {
    return this.#write(value);
  }
  remove(): Promise<void> {
    return this.#write(undefined);
  }
  async #write(value: string | undefined): Promise<void> {
    this.calls.push(value ?? null);
    await Promise.resolve();
    if (this.failures > 0) {
      this.failures -= 1;
      throw new Error('attrd does not answer');
    }
    this.value = value;
  }
}

test('it writes on change only, and first takes away what an earlier life left', async () => {
  const attrd = new Attrd();
  const keeper = new AttributeKeeper(attrd, () => undefined);
  keeper.want(null);
  await keeper.settle(5_000);
  keeper.want('1000');
  keeper.want('1000');
  await keeper.settle(5_000);
  keeper.want('1000');
  await keeper.settle(5_000);
  expect(attrd.calls).toEqual([null, '1000']);
});

test('of many wishes at once the last one holds', async () => {
  const attrd = new Attrd();
  const keeper = new AttributeKeeper(attrd, () => undefined);
  for (const value of ['5', '10', null, '1000']) keeper.want(value);
  await keeper.settle(5_000);
  expect(attrd.value).toBe('1000');
  expect(attrd.calls.length).toBeLessThanOrEqual(2);
});

test('a value that is renewed is gone for a moment, also when it is just being written', async () => {
  const attrd = new Attrd();
  const keeper = new AttributeKeeper(attrd, () => undefined);
  keeper.want('1000');
  keeper.renew();
  await keeper.settle(5_000);
  expect(attrd.calls.slice(-2)).toEqual([null, '1000']);
  keeper.renew();
  await keeper.settle(5_000);
  expect(attrd.calls.slice(-2)).toEqual([null, '1000']);
  const before = attrd.calls.length;
  keeper.want(null);
  await keeper.settle(5_000);
  keeper.renew();
  await keeper.settle(5_000);
  expect(attrd.calls.slice(before)).toEqual([null]);
});

test('a renewal that attrd does not take ends with the next wish: what runs is not taken away', async () => {
  const attrd = new Attrd();
  const keeper = new AttributeKeeper(attrd, () => undefined);
  keeper.want('1000');
  await keeper.settle(5_000);
  attrd.failures = 1;
  const before = attrd.calls.length;
  keeper.renew();
  keeper.want('10000');
  await keeper.settle(5_000);
  expect(attrd.calls.slice(before)).toEqual([null, '10000']);
  expect(attrd.value).toBe('10000');
});

test('a failure is told and tried again until it is as wanted', async () => {
  const attrd = new Attrd();
  attrd.failures = 1;
  const errors: string[] = [];
  const keeper = new AttributeKeeper(attrd, (message) => errors.push(message));
  keeper.want(null);
  await eventually('the attribute is gone', () => attrd.value === undefined);
  expect(errors).toEqual(['attrd does not answer']);
});

test('an attribute that vanished is written again at the next look, one that is there is not', async () => {
  const attrd = new Attrd();
  const keeper = new AttributeKeeper(attrd, () => undefined);
  keeper.want('1000');
  await keeper.settle(5_000);
  await keeper.verify();
  expect(attrd.calls).toEqual(['1000']);
  attrd.value = undefined;
  await keeper.verify();
  await keeper.settle(5_000);
  expect(attrd.value).toBe('1000');
});
