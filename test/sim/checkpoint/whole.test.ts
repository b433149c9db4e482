import * as assert from 'uvu/assert';
import { restoreCard, saveCard } from '../../../sim/checkpoint/checkpoint.js';
import { notState } from '../../../sim/checkpoint/vocabulary.js';
import { openSimulated } from '../../../sim/open.js';
import { suite } from '../../support/suite.js';
import { WildHost } from './wild-host.js';

const test = suite('all of a checkpoint');

/**
 * What a card may have other than the one that was saved: who watches it, and the tasks of its
 * host. Written down here once more, so that a field which is left out anywhere else is noticed.
 */
const watchers: Readonly<Record<string, readonly string[]>> = {
  VirtualClock: ['waiters'],
  Poster: ['observer'],
  Direction: ['tracks'],
  CoreGroup: ['tracks'],
  Bus: ['tracks', 'dieTracks'],
  StripeArray: ['tracks'],
};

/** Where contents lie, and which of them were looked at: the bytes are compared all the same. */
const placed: Readonly<Record<string, readonly string[]>> = {
  Slab: ['isLent', 'data', 'metadata'],
};

/** Walks two graphs side by side, by nothing of what saves or restores. */
class Comparison {
  readonly differences: string[] = [];
  compared = 0;
  private readonly partners = new Map<object, object>();
  private readonly waiting: [unknown, unknown, string][] = [];

  run(one: object, other: object): void {
    this.waiting.push([one, other, 'card']);
    while (this.waiting.length > 0) this.pair(...this.waiting.pop()!);
  }

  private pair(one: unknown, other: unknown, at: string): void {
    this.compared++;
    if (typeof one === 'function' && typeof other === 'function') return;
    if (!isObject(one) || !isObject(other)) {
      if (!Object.is(one, other)) this.differences.push(`${at}: ${String(one)}, ${String(other)}`);
      return;
    }
    const known = this.partners.get(one);
    if (known !== undefined) {
      if (known !== other) this.differences.push(`${at}: another object`);
      return;
    }
    this.partners.set(one, other);
    const kind = one.constructor?.name;
    if (kind !== other.constructor?.name) this.differences.push(`${at}: of another class`);
    else if (ArrayBuffer.isView(one) && ArrayBuffer.isView(other)) this.bytes(one, other, at);
    else if (one instanceof Set && other instanceof Set) this.lists([...one], [...other], at);
    else if (one instanceof Map && other instanceof Map) this.lists([...one], [...other], at);
    else this.fields(one, other, at);
  }

  private fields(one: object, other: object, at: string): void {
    const name = one.constructor?.name ?? '';
    const left = [...(watchers[name] ?? []), ...(placed[name] ?? [])];
    const fields = Object.keys({ ...one, ...other }).filter((field) => !left.includes(field));
    const kind = Array.isArray(one) ? at : name;
    for (const field of fields) {
      this.waiting.push([Reflect.get(one, field), Reflect.get(other, field), `${kind}.${field}`]);
    }
  }

  private lists(one: readonly unknown[], other: readonly unknown[], at: string): void {
    if (one.length !== other.length) this.differences.push(`${at}: of another size`);
    for (const [i, value] of one.entries()) this.waiting.push([value, other[i], `${at}[${i}]`]);
  }

  private bytes(one: ArrayBufferView, other: ArrayBufferView, at: string): void {
    const [a, b] = [one, other].map((view) =>
      Buffer.from(view.buffer, view.byteOffset, view.byteLength),
    );
    if (Buffer.compare(a!, b!) !== 0) this.differences.push(`${at}: other bytes`);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

test('nothing is left out of a checkpoint but who watches and waits', () => {
  assert.equal(notState, watchers);
});

for (const profile of ['simple?bytes=1MiB', 'znand', 'p4800x', 'p3700', 'ultima-g2']) {
  test(`${profile}: a restored card has every field as the saved one, bit for bit`, () => {
    for (const steps of [1, 40]) {
      const mark = profile.includes('?') ? '&' : '?';
      const host = WildHost.on(openSimulated(`sim:${profile}${mark}firmware.bootNs=1000`), steps);
      host.run(0, steps);
      const { card } = host.host;
      const comparison = new Comparison();
      comparison.run(card, restoreCard(saveCard(card)));
      assert.equal(comparison.differences.slice(0, 10), []);
      assert.ok(comparison.compared > 3_000, `${comparison.compared} values`);
    }
  });
}

test.run();
