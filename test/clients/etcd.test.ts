import { spawnSync } from 'node:child_process';
import * as assert from 'uvu/assert';
import type { EtcdStore } from '../../sdk/cluster/etcd-store.js';
import { UltimaError } from '../../sdk/errors.js';
import { assertRejects, Seen, statementsOfStores } from '../sdk/cluster/contract.js';
import { skip, suite } from '../support/suite.js';
import * as certificates from '../support/test-certificates.js';
import { EtcdCluster } from './etcd-cluster.js';

const test = suite('cluster store on etcd');
const hasEtcd = spawnSync('which', ['etcd']).status === 0;
const text = (value: string) => new TextEncoder().encode(value);
const numberOf = (value: Uint8Array | undefined) => Number(new TextDecoder().decode(value) || 0);

if (hasEtcd) {
  const single = new EtcdCluster();
  test.before(() => single.start(1));
  test.after(() => single.end());
  statementsOfStores(test, async () => {
    const store = single.store();
    return { store, pass: (ms) => elapse(store, ms), close: () => store.close() };
  });
}

/** Until etcd itself has counted so many milliseconds down: a lease of that length has ended. */
async function elapse(store: EtcdStore, ms: number): Promise<void> {
  const watchful = await store.grantLease(Math.ceil(ms / 1000) * 1000);
  const key = `elapse/${watchful.id}`;
  const { revision } = await store.commit([], [{ key, value: text('1'), lease: watchful }]);
  const seen = new Seen();
  const watch = store.watch(key, revision, seen);
  await seen.until(1);
  watch.close();
}

function statement(title: string, body: (cluster: EtcdCluster) => Promise<void>, isSecure = false) {
  test(title, async () => {
    if (!hasEtcd) return skip('no etcd: etcd-server is not installed');
    const cluster = new EtcdCluster(isSecure);
    try {
      await body(cluster);
    } finally {
      await cluster.end();
    }
  });
}

statement('a member killed costs no commit and no event of a watch', async (cluster) => {
  await cluster.start(3);
  const store = cluster.store({ timeoutMs: 1000 });
  const seen = new Seen();
  const { revision } = await store.list('c/');
  const watch = store.watch('c/', revision, seen);
  for (let killed = 0; killed < 3; killed++) {
    await cluster.kill(killed);
    for (let i = 0; i < 5; i++) await add(store, 'c/count');
    cluster.startMember(killed);
    await cluster.ready();
  }
  const entry = await store.read('c/count');
  assert.is(numberOf(entry?.value), 15);
  await seen.until(15);
  watch.close();
  const values = seen.events.map((event) => numberOf(event.value ?? undefined));
  assert.equal(
    values,
    Array.from({ length: 15 }, (_, i) => i + 1),
  );
  await store.close();
});

statement('writers who count with conditions lose no step while members die', async (cluster) => {
  await cluster.start(3);
  const stores = [0, 1, 2].map(() => cluster.store({ timeoutMs: 1000 }));
  const progress = new Progress();
  const steps = stores.map(async (store) => {
    while (!progress.isOver) {
      await add(store, 'count');
      progress.step();
    }
  });
  for (let i = 0; i < 4; i++) {
    await cluster.kill(i % 3);
    await progress.further(10);
    cluster.startMember(i % 3);
    await progress.further(10);
  }
  progress.isOver = true;
  await Promise.all(steps);
  const entry = await stores[0]!.read('count');
  assert.is(numberOf(entry?.value), progress.count);
  for (const store of stores) await store.close();
});

statement('without a quorum reads are out of reach and commits unknown', async (cluster) => {
  await cluster.start(3);
  const store = cluster.store({ timeoutMs: 500 });
  await store.commit([], [{ key: 'a', value: text('1') }]);
  await cluster.kill(0);
  await cluster.kill(1);
  const read = await assertRejects(() => store.read('a'), /no member of the etcd cluster answers/);
  assert.is(read?.code, 'STORE_UNREACHABLE');
  const commit = () => store.commit([], [{ key: 'a', value: text('2') }]);
  const unknown = await assertRejects(commit, /may or may not be applied; read again/);
  assert.is(unknown?.code, 'STORE_UNKNOWN');
  await cluster.kill(2);
  const unsent = await assertRejects(commit, /nothing was changed/);
  assert.is(unsent?.code, 'STORE_UNREACHABLE');
  await store.close();
});

statement('a cluster whose disks were wiped is not taken for the one it was', async (cluster) => {
  await cluster.start(1);
  const store = cluster.store();
  for (let i = 0; i < 10; i++) await add(store, 'count');
  const seen = new Seen();
  const watch = store.watch('count', (await store.list('count')).revision, seen);
  await cluster.kill(0);
  cluster.wipe(0);
  cluster.startMember(0);
  await cluster.ready();
  const refused = await assertRejects(() => store.read('count'), /wiped or restored/);
  assert.is(refused?.code, 'STORE_ROLLED_BACK');
  const failure = await seen.failure;
  assert.ok(failure instanceof UltimaError && failure.code === 'STORE_ROLLED_BACK');
  watch.close();
  await store.close();
});

statement(
  'certificates are shown and looked at on both sides',
  async (cluster) => {
    await cluster.start(1);
    const store = cluster.store();
    assert.is((await store.commit([], [{ key: 'a', value: text('1') }])).outcome, 'applied');
    await store.close();

    const { authority: ca, strangerCertificate: cert, strangerKey: key } = certificates;
    for (const tls of [{ ca }, { ca, cert, key }]) {
      const stranger = cluster.store({ tls });
      const error = await assertRejects(() => stranger.read('a'), /certificate|tls|socket|ECONN/i);
      assert.is(error?.code, 'STORE_UNREACHABLE');
      await stranger.close();
    }
    const wary = cluster.store({ tls: { ca: certificates.strangerCertificate } });
    await assertRejects(() => wary.read('a'), /certificate/);
    await wary.close();
  },
  true,
);

statement('users need their password and their role', async (cluster) => {
  await cluster.start(1);
  const [endpoint] = cluster.endpoints;
  const post = async (path: string, body: object) => {
    const answer = await fetch(endpoint + path, { method: 'POST', body: JSON.stringify(body) });
    assert.is(answer.status, 200, path);
  };
  const base64 = (value: string) => Buffer.from(value).toString('base64');
  await post('/v3/auth/user/add', { name: 'root', password: 'r' });
  await post('/v3/auth/user/grant', { user: 'root', role: 'root' });
  await post('/v3/auth/user/add', { name: 'node', password: 'secret' });
  await post('/v3/auth/role/add', { name: 'volumes' });
  const perm = { permType: 'READWRITE', key: base64('v/'), range_end: base64('v0') };
  await post('/v3/auth/role/grant', { name: 'volumes', perm });
  await post('/v3/auth/user/grant', { user: 'node', role: 'volumes' });
  await post('/v3/auth/enable', {});

  const node = cluster.store({ user: 'node', password: 'secret' });
  assert.is((await node.commit([], [{ key: 'v/1', value: text('1') }])).outcome, 'applied');
  assert.is((await node.list('v/')).entries.length, 1);
  const outside = await assertRejects(() => node.read('w/1'), /permission denied/);
  assert.is(outside?.code, 'STORE_REFUSED');
  for (const options of [{ user: 'node', password: 'guess' }, {}]) {
    const other = cluster.store(options);
    const error = await assertRejects(() => other.read('v/1'), /etcd refuses: .*user/);
    assert.is(error?.code, 'STORE_REFUSED');
    await other.close();
  }
  await node.close();
});

class Progress {
  count = 0;
  isOver = false;
  private goal = Number.POSITIVE_INFINITY;
  private wake: () => void = () => {};

  step(): void {
    this.count += 1;
    if (this.count >= this.goal) this.wake();
  }

  further(steps: number): Promise<void> {
    this.goal = this.count + steps;
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}

/** One step of a counter that several count, whatever becomes of the answers. */
async function add(store: EtcdStore, key: string): Promise<void> {
  const me = Math.random().toString(36).slice(2);
  for (;;) {
    try {
      const entry = await store.read(key);
      const revision = entry?.revision ?? 0;
      // The name of the step: after an unknown outcome it says whether it was this one.
      const own = { key: `steps/${me}`, value: text('1') };
      const next = { key, value: text(String(numberOf(entry?.value) + 1)) };
      const conditions = [
        { key, revision },
        { key: own.key, revision: 0 },
      ];
      const { outcome } = await store.commit(conditions, [next, own]);
      if (outcome === 'applied') return;
      if ((await store.read(own.key)) !== null) return;
    } catch (error) {
      assert.ok(error instanceof UltimaError && /UNKNOWN|UNREACHABLE/.test(error.code), `${error}`);
    }
  }
}

test.run();
