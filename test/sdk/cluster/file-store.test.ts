import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { FileStore } from '../../../sdk/cluster/file-store.js';
import type { LogFile } from '../../../sdk/cluster/log-file.js';
import { lineOf } from '../../../sdk/cluster/store-log.js';
import { UltimaError } from '../../../sdk/errors.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { assertRejects, Seen, statementsOfStores } from './contract.js';

const test = suite('cluster store in a folder');
const bytes = (text: string) => new TextEncoder().encode(text);

class StepClock {
  now = 0;

  nowNs(): number {
    return this.now;
  }
}

/** A log whose disk stops at a chosen call, having written a part of what the call asked for. */
class CrashLog implements LogFile {
  content = new Uint8Array(0);
  /** Calls until the end. */
  callsLeft = Number.POSITIVE_INFINITY;
  /** How much of the last call still arrives, 0..1; a replacement arrives whole or not at all. */
  lastPart = 0;

  async read(): Promise<Uint8Array> {
    return this.content.slice();
  }

  async append(added: Uint8Array, keptBytes: number): Promise<void> {
    const isLast = this.countDown();
    const part = added.subarray(
      0,
      isLast ? Math.floor(added.length * this.lastPart) : added.length,
    );
    const kept = this.content.subarray(0, keptBytes);
    this.content = new Uint8Array(kept.length + part.length);
    this.content.set(kept);
    this.content.set(part, kept.length);
    if (isLast) throw new Error('power cut');
  }

  async replace(next: Uint8Array): Promise<void> {
    const isLast = this.countDown();
    if (!isLast || this.lastPart > 0.5) this.content = next.slice();
    if (isLast) throw new Error('power cut');
  }

  private countDown(): boolean {
    this.callsLeft -= 1;
    if (this.callsLeft < 0) throw new Error('no power');
    return this.callsLeft === 0;
  }

  async close(): Promise<void> {}
}

const setting = (seed = 1) => {
  const prng = new Prng(seed, 'store');
  return { clock: new StepClock(), random: (target: Uint8Array) => prng.fill(target) };
};

statementsOfStores(test, async () => {
  const made = setting();
  const store = await FileStore.on(new CrashLog(), made);
  return {
    store,
    pass: async (ms) => {
      made.clock.now += ms * 1e6;
      await store.expire();
    },
    close: () => store.close(),
  };
});

test('a power cut at any write loses nothing that was answered and adds nothing half', async () => {
  let cuts = 0;
  // The log is written anew every few commits.
  const small = { ...setting(), longestTailBytes: 1_000 };
  for (const lastPart of [0, 0.01, 0.3, 0.99, 1]) {
    for (let calls = 1; ; calls++) {
      const file = new CrashLog();
      await (await FileStore.on(file, small)).close();
      Object.assign(file, { callsLeft: calls, lastPart });
      const { answered, asked } = await work(await FileStore.on(file, small));
      if (answered === asked) break;
      cuts += 1;
      file.callsLeft = Number.POSITIVE_INFINITY;
      const store = await FileStore.on(file, setting());
      const { entries } = await store.list('k');
      const count = Number(new TextDecoder().decode((await store.read('count'))?.value) || 0);
      assert.ok(count === answered || count === asked, `${count}, answered ${answered}`);
      assert.is(entries.length, count % 5, 'entries of the same commits');
      await store.commit([], [{ key: 'more', value: bytes('1') }]);
      assert.is.not(await store.read('more'), null);
    }
  }
  assert.ok(cuts > 100, `${cuts} cuts`);
});

/** Twenty commits that count and write, and each fifth that deletes; up to the first failure. */
async function work(store: FileStore): Promise<{ answered: number; asked: number }> {
  let answered = 0;
  for (let asked = 1; asked <= 25; asked++) {
    const isFifth = asked % 5 === 0;
    const keys = isFifth ? ['k1', 'k2', 'k3', 'k4'] : [`k${asked % 5}`];
    const value = isFifth ? null : new Uint8Array(100);
    const count = { key: 'count', value: bytes(String(asked)) };
    try {
      await store.commit([], [count, ...keys.map((key) => ({ key, value }))]);
      answered = asked;
    } catch (error) {
      assert.ok(error instanceof UltimaError && error.code === 'STORE_UNKNOWN');
      await assertRejects(() => store.read('count'), /has failed; open it again/);
      return { answered, asked };
    }
  }
  return { answered, asked: 25 };
}

test('a wrong byte anywhere is found, or was in the record that was written last', async () => {
  const file = new CrashLog();
  const store = await FileStore.on(file, setting());
  for (const key of ['a', 'b', 'c']) await store.commit([], [{ key, value: bytes(key) }]);
  await store.grantLease(5_000);
  await store.commit([], [{ key: 'd', value: bytes('last') }]);
  await store.close();
  const good = file.content;
  const lastLine = good.lastIndexOf(0x0a, good.length - 2);
  for (let at = 0; at < good.length; at++) {
    for (const flip of [1, 0x80]) {
      file.content = good.slice();
      file.content[at]! ^= flip;
      if (at >= lastLine) {
        const { entries } = await (await FileStore.on(file, setting())).list('c');
        assert.is(entries.length, 1);
      } else {
        const error = await assertRejects(() => FileStore.on(file, setting()), /log is damaged/);
        assert.is(error?.code, 'STORE_INVALID');
      }
    }
  }
});

test('commits asked for at once are decided one after the other', async () => {
  const store = await FileStore.on(new CrashLog(), setting());
  const take = () => store.commit([{ key: 'a', revision: 0 }], [{ key: 'a', value: bytes('1') }]);
  const results = await Promise.all(Array.from({ length: 10 }, take));
  assert.is(results.filter((result) => result.outcome === 'applied').length, 1);
});

test('a lease outlives the process, with its whole time', async () => {
  const file = new CrashLog();
  const made = setting();
  const store = await FileStore.on(file, made);
  const lease = await store.grantLease(5_000);
  await store.commit([], [{ key: 'n', value: bytes('up'), lease }]);
  const later = setting();
  later.clock.now = 100e9;
  const again = await FileStore.on(file, later);
  later.clock.now += 4_999e6;
  await again.lease(lease.id).keepAlive();
  later.clock.now += 5_000e6;
  await again.expire();
  assert.is(await again.read('n'), null);
  const third = await FileStore.on(file, later);
  await assertRejects(async () => third.lease(lease.id), /has ended/);
});

test('a log that is written anew keeps leases, and gives no number of one twice', async () => {
  const file = new CrashLog();
  const small = { ...setting(), longestTailBytes: 1 };
  const store = await FileStore.on(file, small);
  const [kept, ended] = [await store.grantLease(5_000), await store.grantLease(3_600_000)];
  await store.commit([], [{ key: 'n', value: bytes('up'), lease: kept }]);
  await ended.revoke();
  await store.commit([], [{ key: 'a', value: bytes('1') }]);
  const later = setting();
  const again = await FileStore.on(file, later);
  // Who had the one that has ended must not keep another's alive.
  const next = await again.grantLease(5_000);
  assert.is(next.id, '3');
  await assertRejects(async () => again.lease(ended.id), /has ended/);
  assert.equal([kept.id, again.lease(kept.id).ttlMs], ['1', 5_000]);
  later.clock.now = 4_999e6;
  await again.expire();
  assert.is.not(await again.read('n'), null);
  later.clock.now = 5_000e6;
  await again.expire();
  assert.is(await again.read('n'), null);
});

test('whole records that do not follow from each other are damage', async () => {
  const base = (revision: number) => {
    return lineOf({ kind: 'base', base: { storeId: 9, revision, entries: [], leases: [] } });
  };
  const put = (revision: number) => {
    const changes = [{ key: 'a', value: bytes('1'), lease: 0 }];
    return lineOf({ kind: 'commit', revision, changes });
  };
  const cases: readonly (readonly [RegExp, readonly Uint8Array[]])[] = [
    [/it is no beginning/, [put(1)]],
    [/line 1 .*there is no whole beginning/, [base(0).subarray(0, 20)]],
    [/it is a second beginning/, [base(0), put(1), base(1)]],
    [/it is revision 2 where 1 is due/, [base(0), put(2)]],
    [/it is revision 1 where 2 is due/, [base(0), put(1), put(1)]],
    [/its checksum is wrong/, [base(0), put(1).subarray(0, 20), put(1)]],
  ];
  for (const [message, lines] of cases) {
    const file = new CrashLog();
    file.content = new Uint8Array(Buffer.concat(lines));
    const error = await assertRejects(() => FileStore.on(file, setting()), message);
    assert.is(error?.code, 'STORE_INVALID');
  }
  const file = new CrashLog();
  file.content = new Uint8Array(Buffer.concat([base(7), put(8), put(9).subarray(0, 30)]));
  assert.is((await FileStore.on(file, setting())).revision, 8);
});

test('a closed store tells its watches nothing more', async () => {
  const store = await FileStore.on(new CrashLog(), setting());
  const seen = new Seen();
  store.watch('a', 0, seen);
  const done = store.commit([], [{ key: 'a', value: bytes('1') }]);
  await store.close();
  await done;
  await seen.until(1);
  const late = new Seen();
  store.watch('a', 0, late).close();
  await null;
  assert.is(late.calls, 0);
  await assertRejects(() => store.read('a'), /has been closed; open it again/);
  await assertRejects(() => store.grantLease(5_000), /has been closed/);
});

test('a watch after opening again begins at what was read, not before', async () => {
  const file = new CrashLog();
  const store = await FileStore.on(file, setting());
  for (const key of ['a', 'b', 'c']) await store.commit([], [{ key, value: bytes(key) }]);
  const again = await FileStore.on(file, setting());
  const early = new Seen();
  // The log holds the three changes, so they can still be told.
  again.watch('a', 0, early);
  await early.until(1);
  const { revision } = await again.list('a');
  const seen = new Seen();
  again.watch('a', revision, seen);
  await again.commit([], [{ key: 'a', value: bytes('2') }]);
  await seen.until(1);
  assert.is(seen.events.length, 1);
});

test('a folder belongs to one store at a time, and keeps what it was told', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-store-'));
  try {
    const options = { folder: join(folder, 'new'), ...setting() };
    const store = await FileStore.open(options);
    const busy = await assertRejects(() => FileStore.open(options), /another process keeps/);
    assert.is(busy?.code, 'DEVICE_BUSY');
    for (let i = 0; i < 30; i++) {
      await store.commit([], [{ key: `k${i % 3}`, value: new Uint8Array(90_000).fill(i) }]);
    }
    await store.close();
    // A record that was cut off: the next one takes its place.
    appendFileSync(join(folder, 'new', 'store.log'), `\n0123abcd {"at":31,${'x'.repeat(9_999)}`);
    const again = await FileStore.open({ ...options, ...setting(2) });
    assert.is(again.revision, 30);
    assert.is(again.storeId, store.storeId);
    assert.is((await again.read('k2'))?.value[0], 29);
    await again.commit([], [{ key: 'k2', value: bytes('1') }]);
    await again.close();
    const third = await FileStore.open({ ...options, ...setting(3) });
    assert.is(third.revision, 31);
    await third.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a folder that cannot be made is named', async () => {
  const options = { folder: '/dev/null/store', ...setting() };
  const error = await assertRejects(() => FileStore.open(options), /\/dev\/null\/store: .*ENOTDIR/);
  assert.is(error?.code, 'FILE_UNWRITABLE');
});

test.run();
