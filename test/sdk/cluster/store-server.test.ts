import { randomFillSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { EtcdStore } from '../../../sdk/cluster/etcd-store.js';
import { FileStore } from '../../../sdk/cluster/file-store.js';
import { StoreServer } from '../../../sdk/cluster/store-server.js';
import { suite } from '../../support/suite.js';
import * as certificates from '../../support/test-certificates.js';
import { assertRejects, Seen, statementsOfStores } from './contract.js';

const test = suite('cluster store served');
const bytes = (text: string) => new TextEncoder().encode(text);

class StepClock {
  now = 0;

  nowNs(): number {
    return this.now;
  }
}

/** A store in a folder, its server, and what a test needs of both. */
class Served {
  readonly clock = new StepClock();
  private readonly folder = mkdtempSync(join(tmpdir(), 'ultima-served-'));
  file!: FileStore;
  server!: StoreServer;

  async start(port = 0, tls?: { ca: string; cert: string; key: string }): Promise<this> {
    const { folder, clock } = this;
    this.file = await FileStore.open({ folder, clock, random: randomFillSync });
    this.server = await StoreServer.listen({ store: this.file, port, ...(tls ? { tls } : {}) });
    return this;
  }

  async stop(): Promise<void> {
    await this.server.close();
    await this.file.close();
  }

  wipe(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  async end(): Promise<void> {
    await this.stop();
    this.wipe();
  }
}

const served = new Served();
test.before(async () => {
  await served.start();
});
test.after(() => served.end());

statementsOfStores(test, async () => {
  const store = new EtcdStore({ endpoints: [served.server.endpoint] });
  return {
    store,
    pass: async (ms) => {
      served.clock.now += ms * 1e6;
      await served.file.expire();
    },
    close: () => store.close(),
  };
});

test('a watch goes on over a server that stops and comes back', async () => {
  const own = await new Served().start();
  const { endpoint } = own.server;
  const store = new EtcdStore({ endpoints: [endpoint], timeoutMs: 500 });
  const { revision } = await store.commit([], [{ key: 'a', value: bytes('1') }]);
  const seen = new Seen();
  const watch = store.watch('a', revision, seen);
  await own.stop();
  const late = await assertRejects(() => store.read('a'), /no member of the etcd cluster/);
  assert.is(late?.code, 'STORE_UNREACHABLE');
  await own.start(Number(new URL(endpoint).port));
  await own.file.commit([], [{ key: 'a', value: bytes('2') }]);
  await seen.until(1);
  watch.close();
  assert.equal(seen.events[0]?.value, bytes('2'));
  await store.close();
  await own.end();
});

test('another store at the same place is not taken for the one before', async () => {
  const own = await new Served().start();
  const { endpoint } = own.server;
  const store = new EtcdStore({ endpoints: [endpoint] });
  await store.commit([], [{ key: 'a', value: bytes('1') }]);
  await own.stop();
  own.wipe();
  await own.start(Number(new URL(endpoint).port));
  const error = await assertRejects(() => store.read('a'), /belong to etcd cluster/);
  assert.is(error?.code, 'STORE_ROLLED_BACK');
  await store.close();
  await own.end();
});

test('with TLS nobody enters without a certificate', async () => {
  const { authority: ca, serverCertificate: cert, serverKey: key } = certificates;
  const own = await new Served().start(0, { ca, cert, key });
  const endpoints = [own.server.endpoint];
  const tls = { ca, cert: certificates.clientCertificate, key: certificates.clientKey };
  const known = new EtcdStore({ endpoints, tls });
  assert.is((await known.commit([], [{ key: 'a', value: bytes('1') }])).outcome, 'applied');
  await known.close();
  const unknown = new EtcdStore({ endpoints, tls: { ca } });
  await assertRejects(() => unknown.read('a'), /no member of the etcd cluster answers/);
  await unknown.close();
  await own.end();
});

test('what a client gets wrong costs its call, and no more', async () => {
  const { endpoint } = served.server;
  const post = async (path: string, body: string) => {
    const answer = await fetch(endpoint + path, { method: 'POST', body });
    return `${answer.status} ${await answer.text()}`;
  };
  const txn = (success: unknown) => JSON.stringify({ success });
  assert.match(await post('/v3/kv/range', 'garbage'), /^400 .*"code":3/);
  assert.match(await post('/v3/kv/range', '[]'), /^400/);
  assert.match(await post('/v3/kv/range', '{"key":7}'), /^400/);
  assert.match(await post('/v3/kv/range', '{"key":"YQ==","range_end":"AA=="}'), /^400 .*prefix/);
  assert.match(await post('/v3/kv/txn', txn('x')), /^400/);
  assert.match(await post('/v3/kv/txn', txn([])), /^400 .*0 changes; 1 to 64/);
  assert.match(await post('/v3/kv/txn', txn([{ request_put: { key: '' } }])), /^400 .*key/);
  assert.match(await post('/v3/lease/grant', '{"TTL":"-1"}'), /^400/);
  assert.match(await post('/v3/lease/revoke', '{"ID":"99999"}'), /^404 .*has ended/);
  assert.match(await post('/v3/watch', '{}'), /^400/);
  assert.match(await post('/v3/else', '{}'), /^404 .*not of this store/);
  const compare = { key: 'YQ==', target: 'MOD', result: 'EQUAL', mod_revision: '0' };
  for (const change of [{ target: 'VALUE' }, { result: 'GREATER' }, { result: 7 }]) {
    const body = JSON.stringify({ compare: [{ ...compare, ...change }] });
    assert.match(await post('/v3/kv/txn', body), /^400 .*EQUAL on MOD/);
  }
  const leased = { request_put: { key: 'YQ==', value: 'YQ==', lease: 7 } };
  assert.match(await post('/v3/kv/txn', txn([leased])), /^400 .*lease is no text/);
  assert.match(await post('/v3/lease/revoke', '{"ID":1}'), /^400 .*ID is no text/);
  const asked = await fetch(`${endpoint}/v3/kv/range`);
  assert.match(`${asked.status} ${await asked.text()}`, /^405 .*calls are POST/);
  await torn(endpoint);
  assert.match(await post('/v3/kv/range', '{"key":"YQ=="}'), /^200/);
});

/** A call that ends in the middle of its body. */
function torn(endpoint: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(endpoint).port), '127.0.0.1', () => {
      socket.write('POST /v3/kv/txn HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"succ');
      socket.destroySoon();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
  });
}

test('what a server tells twice is heard once', async () => {
  const header = { cluster_id: '1', member_id: '1', revision: '3' };
  const event = (revision: number) => ({
    kv: { key: Buffer.from('a').toString('base64'), mod_revision: String(revision) },
  });
  const say = (result: object) => `${JSON.stringify({ result: { header, ...result } })}\n`;
  const repeating = createServer((_, response) => {
    response.write(say({ created: true }) + say({ events: [event(1), event(2)] }));
    response.write(say({ events: [event(2), event(3)] }));
  });
  await new Promise<void>((resolve) => repeating.listen(0, '127.0.0.1', resolve));
  const address = repeating.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const store = new EtcdStore({ endpoints: [`http://127.0.0.1:${port}`] });
  const seen = new Seen();
  const watch = store.watch('a', 1, seen);
  await seen.until(2);
  watch.close();
  assert.equal(
    seen.events.map(({ revision }) => revision),
    [2, 3],
  );
  await store.close();
  repeating.closeAllConnections();
  repeating.close();
});

test('a store is not opened to the network without TLS', async () => {
  const open = () => StoreServer.listen({ store: served.file, host: '0.0.0.0', port: 0 });
  await assertRejects(open, /0\.0\.0\.0 is open to the network: give it TLS/);
});

test('a port in use is named', async () => {
  const port = Number(new URL(served.server.endpoint).port);
  const again = () => StoreServer.listen({ store: served.file, port });
  const error = await assertRejects(again, /EADDRINUSE; choose another port/);
  assert.is(error?.code, 'ADDRESS_INVALID');
});

test.run();
