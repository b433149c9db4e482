import * as assert from 'uvu/assert';
import type { ClusterStore, StoreEvent, StoreWatcher } from '../../../sdk/cluster/store.js';
import { UltimaError } from '../../../sdk/errors.js';
import type { suite } from '../../support/suite.js';

export interface StoreRig {
  readonly store: ClusterStore;
  /** Let so much of the store's time pass. */
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | null | undefined) =>
  value === null || value === undefined ? null : new TextDecoder().decode(value);

/** What every cluster store owes, whoever keeps it. Each statement runs on a prefix of its own. */
export function statementsOfStores(
  test: ReturnType<typeof suite>,
  open: () => Promise<StoreRig>,
): void {
  let serial = 0;
  const state = (name: string, body: (rig: StoreRig, prefix: string) => Promise<void>) => {
    test(name, async () => {
      const rig = await open();
      serial += 1;
      try {
        await body(rig, `contract/${process.pid}/${serial}/`);
      } finally {
        await rig.close();
      }
    });
  };
  statementsOfCommits(state);
  statementsOfContents(state);
  statementsOfWatches(state);
  statementsOfLeases(state);
}

type State = (name: string, body: (rig: StoreRig, prefix: string) => Promise<void>) => void;

function statementsOfCommits(state: State): void {
  state('a key that was never written reads as nothing', async ({ store }, at) => {
    assert.is(await store.read(`${at}none`), null);
  });

  state('what was committed is read with its revision', async ({ store }, at) => {
    const { outcome, revision } = await store.commit([], [{ key: `${at}a`, value: bytes('one') }]);
    assert.is(outcome, 'applied');
    const entry = await store.read(`${at}a`);
    assert.is(text(entry?.value), 'one');
    assert.is(entry?.revision, revision);
  });

  state('an empty value is a value', async ({ store }, at) => {
    await store.commit([], [{ key: `${at}a`, value: new Uint8Array(0) }]);
    assert.is((await store.read(`${at}a`))?.value.length, 0);
  });

  state('bytes of every kind come back', async ({ store }, at) => {
    const value = Uint8Array.from({ length: 256 }, (_, i) => i);
    await store.commit([], [{ key: `${at}a`, value }]);
    assert.equal((await store.read(`${at}a`))?.value, value);
  });

  state('of two that take an absent key one is refused', async ({ store }, at) => {
    const key = `${at}epoch`;
    const take = (by: string) => store.commit([{ key, revision: 0 }], [{ key, value: bytes(by) }]);
    const results = await Promise.all([take('a'), take('b')]);
    assert.equal(results.map((result) => result.outcome).sort(), ['applied', 'refused']);
  });

  state('a refused commit changes none of its keys', async ({ store }, at) => {
    const { revision } = await store.commit([], [{ key: `${at}a`, value: bytes('1') }]);
    const refused = await store.commit(
      [
        { key: `${at}a`, revision },
        { key: `${at}b`, revision },
      ],
      [
        { key: `${at}a`, value: bytes('2') },
        { key: `${at}c`, value: bytes('2') },
      ],
    );
    assert.is(refused.outcome, 'refused');
    assert.is(text((await store.read(`${at}a`))?.value), '1');
    assert.is(await store.read(`${at}c`), null);
  });

  state('a deleted key is absent for conditions again', async ({ store }, at) => {
    const key = `${at}a`;
    await store.commit([], [{ key, value: bytes('1') }]);
    await store.commit([], [{ key, value: null }]);
    assert.is(await store.read(key), null);
    const again = await store.commit([{ key, revision: 0 }], [{ key, value: bytes('2') }]);
    assert.is(again.outcome, 'applied');
  });
}

function statementsOfContents(state: State): void {
  state('a list is ascending and holds nothing but its prefix', async ({ store }, at) => {
    const keys = ['m/2', 'm/10', 'm/1', 'n/0', 'l/9'].map((key) => at + key);
    for (const key of keys) await store.commit([], [{ key, value: bytes(key) }]);
    const { entries } = await store.list(`${at}m/`);
    assert.equal(
      entries.map((entry) => entry.key),
      [`${at}m/1`, `${at}m/10`, `${at}m/2`],
    );
  });

  state('what no store takes is refused before it is sent', async ({ store }, at) => {
    const put = (key: string, size: number) =>
      store.commit([], [{ key, value: new Uint8Array(size) }]);
    await assertRejects(() => put('', 1), /key ""/);
    await assertRejects(() => put(`${at}with space`, 1), /printable/);
    await assertRejects(() => put(`${at}${'x'.repeat(600)}`, 1), /at most 512/);
    await assertRejects(() => put(`${at}big`, 300_000), /300000 bytes; at most 262144/);
    await assertRejects(() => store.commit([], []), /0 changes; 1 to 64/);
    const twice = { key: `${at}a`, value: bytes('1') };
    await assertRejects(() => store.commit([], [twice, twice]), /twice/);
    assert.equal((await store.list(at)).entries, []);
    for (const prefix of ['', ' ', 'ä']) {
      await assertRejects(() => store.list(prefix), /printable ASCII/);
      await assertRejects(async () => store.watch(prefix, 0, new Seen()), /printable ASCII/);
    }
    for (const revision of [-1, 0.5, 2 ** 53]) {
      await assertRejects(async () => store.watch(at, revision, new Seen()), /a whole number from/);
    }
    const many = Array.from({ length: 65 }, (_, i) => ({ key: `${at}${i}`, revision: 0 }));
    await assertRejects(() => store.commit(many, [twice]), /65 conditions; at most 64/);
    const changes = many.map(({ key }) => ({ key, value: null }));
    await assertRejects(() => store.commit([], changes), /65 changes; 1 to 64/);
  });
}

function statementsOfWatches(state: State): void {
  state('a watch sees what happened after its revision, once and in order', async (rig, at) => {
    const { store } = rig;
    const { revision } = await store.commit([], [{ key: `${at}a`, value: bytes('0') }]);
    await store.commit([], [{ key: `${at}a`, value: bytes('1') }]);
    const seen = new Seen();
    const watch = store.watch(at, revision, seen);
    await store.commit([], [{ key: `${at}b`, value: bytes('2') }]);
    await store.commit([], [{ key: `${at}a`, value: null }]);
    await store.commit([], [{ key: `other${at}`, value: bytes('3') }]);
    await seen.until(3);
    watch.close();
    const words = seen.events.map((event) => `${event.key.slice(at.length)}=${text(event.value)}`);
    assert.equal(words, ['a=1', 'b=2', 'a=null']);
    const revisions = seen.events.map((event) => event.revision);
    assert.equal(
      revisions,
      [...revisions].sort((a, b) => a - b),
    );
  });

  state('the changes of one commit are told together', async ({ store }, at) => {
    const seen = new Seen();
    const { revision } = await store.list(at);
    const watch = store.watch(at, revision, seen);
    await store.commit(
      [],
      [
        { key: `${at}a`, value: bytes('1') },
        { key: `${at}b`, value: bytes('1') },
      ],
    );
    await seen.until(2);
    watch.close();
    assert.is(seen.calls, 1);
    assert.is(seen.events[0]?.revision, seen.events[1]?.revision);
  });

  state('a watch that was closed hears nothing more', async ({ store }, at) => {
    const closed = new Seen();
    const open = new Seen();
    const { revision } = await store.list(at);
    store.watch(at, revision, closed).close();
    const watch = store.watch(at, revision, open);
    await store.commit([], [{ key: `${at}a`, value: bytes('1') }]);
    await open.until(1);
    watch.close();
    assert.is(closed.events.length, 0);
  });

  state(
    'a watch from a revision that never was is told that the store fell back',
    async (rig, at) => {
      const seen = new Seen();
      const { revision } = await rig.store.list(at);
      const watch = rig.store.watch(at, revision + 1_000_000, seen);
      const failure = await seen.failure;
      watch.close();
      assert.ok(failure instanceof UltimaError);
      assert.is(failure.code, 'STORE_ROLLED_BACK');
    },
  );
}

function statementsOfLeases(state: State): void {
  state('an entry goes with its lease, and a watch says so', async ({ store, pass }, at) => {
    const lease = await store.grantLease(1_000);
    const { revision } = await store.commit([], [{ key: `${at}n`, value: bytes('up'), lease }]);
    const seen = new Seen();
    const watch = store.watch(at, revision, seen);
    await pass(3_500);
    assert.is(await store.read(`${at}n`), null);
    await seen.until(1);
    watch.close();
    assert.equal(seen.events[0]?.value, null);
    await assertRejects(() => lease.keepAlive(), /lease( .*)? has ended/);
  });

  state('a lease that is revoked takes its entries at once', async ({ store }, at) => {
    const lease = await store.grantLease(60_000);
    const other = await store.grantLease(60_000);
    await store.commit([], [{ key: `${at}n`, value: bytes('up'), lease }]);
    await store.commit([], [{ key: `${at}o`, value: bytes('up'), lease: other }]);
    await lease.keepAlive();
    await lease.revoke();
    const { entries } = await store.list(at);
    assert.equal(
      entries.map((entry) => entry.key),
      [`${at}o`],
    );
    await other.revoke();
  });

  state('an entry written again without a lease outlives it', async ({ store }, at) => {
    const lease = await store.grantLease(60_000);
    await store.commit([], [{ key: `${at}n`, value: bytes('up'), lease }]);
    await store.commit([], [{ key: `${at}n`, value: bytes('stays') }]);
    await lease.revoke();
    assert.is(text((await store.read(`${at}n`))?.value), 'stays');
  });

  state('a commit under a lease that has ended changes nothing', async ({ store }, at) => {
    const lease = await store.grantLease(60_000);
    await lease.revoke();
    const late = () => store.commit([], [{ key: `${at}n`, value: bytes('up'), lease }]);
    await assertRejects(late, /lease( .*)? has ended/);
    assert.is(await store.read(`${at}n`), null);
  });

  state('a lease lasts between a second and an hour', async ({ store }) => {
    await assertRejects(() => store.grantLease(999), /999 ms; 1000 to 3600000/);
    await assertRejects(() => store.grantLease(3_600_001), /3600001 ms/);
  });
}

export class Seen implements StoreWatcher {
  readonly events: StoreEvent[] = [];
  calls = 0;
  readonly failure: Promise<Error>;
  private fail: (error: Error) => void = () => {};
  private wanted = 0;
  private wake: () => void = () => {};

  constructor() {
    this.failure = new Promise((resolve) => {
      this.fail = resolve;
    });
  }

  changed(events: readonly StoreEvent[]): void {
    this.calls += 1;
    this.events.push(...events);
    if (this.events.length >= this.wanted) this.wake();
  }

  failed(error: Error): void {
    this.fail(error);
  }

  /** Resolves when so many events have been seen; the runner's limit bounds it. */
  until(count: number): Promise<void> {
    if (this.events.length >= count) return Promise.resolve();
    this.wanted = count;
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}

export async function assertRejects(
  call: () => Promise<unknown>,
  expected: RegExp,
): Promise<UltimaError | null> {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof Error);
    assert.match(error.message, expected);
    return error instanceof UltimaError ? error : null;
  }
  assert.unreachable(`nothing was thrown; ${expected} was due`);
  return null;
}
