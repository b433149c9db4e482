import { checkPrimeSync } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectSocket, createServer } from 'node:net';
import * as assert from 'uvu/assert';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { primeOf } from '../../../sdk/fabric/dh-groups.js';
import { authenticateHost } from '../../../sdk/fabric/host-authentication.js';
import { formatSecret, makeSecret, parseSecret } from '../../../sdk/fabric/secret.js';
import { AuthHash, DhGroup } from '../../../sdk/spec/fabrics/authentication.js';
import { fabricRig, rigNqn } from '../../support/fabric-rig.js';
import { suite } from '../../support/suite.js';
import {
  authority,
  clientCertificate,
  clientKey,
  serverCertificate,
  serverKey,
  strangerCertificate,
  strangerKey,
} from '../../support/test-certificates.js';

const test = suite('sdk/fabric security');
const hostNqn = 'nqn.2026-11.io.ultima:host';

// The example of the standard, and secrets of the tests of nvme-stas and libnvme.
const published: readonly [text: string, bytes: number, hash: number][] = [
  ['DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:', 32, 0],
  ['DHHC-1:02:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:', 32, 2],
  ['DHHC-1:00:MWPqcx1Ug1debg8fPIGpkqbQhLcYUt39k7UWirkblaKEH1kE:', 32, 0],
  ['DHHC-1:01:Ei7kUrD7iyrjzXDwIZ666sSPBswUk4wDjSQtodytVB5YiBru:', 32, 1],
  ['DHHC-1:03:KUwVlIUo627Pn05W/lRL2XD57kzIs1yZzJWdd2vgZJUC74kr:', 32, 3],
  [
    'DHHC-1:03:6EKZcEL86u4vzTE8sCETvskE3pLKE+qOorl9QxrRfLvfOEQ5GvqCzM41U8fFVAz1cs+T14PjSpd1J641' +
      'rfeCC1x2VNg=:',
    64,
    3,
  ],
];

test('published secrets are read and written as they stand', () => {
  for (const [text, bytes, hash] of published) {
    const secret = parseSecret(text);
    assert.is(secret.key.length, bytes);
    assert.is(secret.hash, hash);
    assert.is(formatSecret(secret), text);
  }
});

test('a secret with one character changed is refused, without being shown', () => {
  const [text] = published[0]!;
  for (let at = 10; at < text.length - 1; at += 3) {
    const other = text[at] === 'A' ? 'B' : 'A';
    const changed = text.slice(0, at) + other + text.slice(at + 1);
    let message = '';
    try {
      parseSecret(changed);
    } catch (error) {
      message = error instanceof Error ? error.message : '';
    }
    assert.match(message, /cannot be used/);
    assert.is(message.includes(changed.slice(10, 20)), false);
  }
});

test('each group is the safe prime of RFC 7919 that ends as it is printed there', () => {
  const ends: readonly [group: number, bytes: number, end: string][] = [
    [DhGroup.ffdhe2048, 256, '886b423861285c97ffffffffffffffff'],
    [DhGroup.ffdhe3072, 384, '25e41d2b66c62e37ffffffffffffffff'],
    [DhGroup.ffdhe4096, 512, 'c68a007e5e655f6affffffffffffffff'],
    [DhGroup.ffdhe6144, 768, 'a40e329cd0e40e65ffffffffffffffff'],
    [DhGroup.ffdhe8192, 1024, 'd68c8bb7c5c6424cffffffffffffffff'],
  ];
  for (const [group, bytes, end] of ends) {
    const digits = primeOf(group).toString('hex');
    assert.is(digits.length, 2 * bytes);
    assert.is(digits.slice(0, 32), 'ffffffffffffffffadf85458a2bb4a9a');
    assert.is(digits.slice(-32), end);
    if (bytes > 256) continue;
    const prime = BigInt(`0x${digits}`);
    assert.ok(checkPrimeSync(prime) && checkPrimeSync((prime - 1n) / 2n));
  }
});

async function attempt(
  given: { readonly secret?: string; readonly controllerSecret?: string },
  known: { readonly secret?: string; readonly controllerSecret?: string },
): Promise<string> {
  const rig = await fabricRig({ hosts: [{ nqn: hostNqn, ...known }] });
  try {
    const host = await rig.connect({ hostNqn, ...given });
    await readBlocks(host.namespace(1), 0, new Uint8Array(512));
    return 'in';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await rig.close();
  }
}

test('a host gets in with its secret and no other, and may ask for the controller’s', async () => {
  const secret = makeSecret(AuthHash.sha256);
  const controllerSecret = makeSecret(AuthHash.sha512);
  assert.is(await attempt({ secret }, { secret }), 'in');
  assert.is(await attempt({ secret, controllerSecret }, { secret, controllerSecret }), 'in');
  const other = makeSecret(AuthHash.sha256);
  assert.match(await attempt({ secret: other }, { secret }), /authenticationFailed/);
  assert.match(await attempt({}, { secret }), /asks hosts for a DH-HMAC-CHAP secret/);
  const lying = { secret, controllerSecret: makeSecret(AuthHash.sha512) };
  assert.match(await attempt({ secret, controllerSecret }, lying), /does not know the secret/);
  assert.match(await attempt({ secret, controllerSecret }, { secret }), /authenticationFailed/);
});

test('a host that is not on the list is refused by name', async () => {
  const rig = await fabricRig({ hosts: [{ nqn: hostNqn }] });
  try {
    await rig.connect({ hostNqn: 'nqn.2026-11.io.ultima:other' });
    assert.unreachable();
  } catch (error) {
    const message = error instanceof Error ? error.message : '';
    assert.match(message, /does not let nqn\.2026-11\.io\.ultima:other in/);
  } finally {
    await rig.close();
  }
});

test('every hash goes with every group', async () => {
  const { HostQueue } = await import('../../../sdk/fabric/host-queue.js');
  const { NodeSockets } = await import('../../../sdk/sockets/node-sockets.js');
  const { connectQueue } = await import('../../../sdk/fabric/host-control.js');
  const { ChunkPool } = await import('../../../sdk/sockets/outbox.js');
  const secret = makeSecret(AuthHash.sha384);
  const rig = await fabricRig({ hosts: [{ nqn: hostNqn, secret, controllerSecret: secret }] });
  try {
    const port = rig.target.places[0]!.port;
    for (const hash of [AuthHash.sha256, AuthHash.sha384, AuthHash.sha512]) {
      for (const group of Object.values(DhGroup)) {
        // The one that takes most of a second.
        if (group === DhGroup.ffdhe6144 && hash !== AuthHash.sha512) continue;
        const stream = await new NodeSockets().connect({ host: '127.0.0.1', port }, 2000);
        const queue = new HostQueue({
          stream,
          chunks: new ChunkPool(),
          entries: 32,
          headerDigest: false,
          dataDigest: false,
          ended: () => {},
          lost: () => {},
        });
        assert.ok(await queue.open());
        await connectQueue(queue, {
          qid: 0,
          entries: 32,
          cntlid: 0xffff,
          hostId: new Uint8Array(16),
          hostNqn,
          subsystemNqn: rigNqn,
          keepAliveMs: 0,
        });
        const secrets = { hostNqn, nqn: rigNqn, secret, controllerSecret: secret };
        await authenticateHost(queue, { ...secrets, hashes: [hash], groups: [group] });
        queue.close('done');
      }
    }
  } finally {
    await rig.close();
  }
});

/** Somebody at the wire who keeps what hosts say, one piece for each connection. */
async function listenIn(port: number) {
  const heard: Buffer[][] = [];
  const server = createServer((socket) => {
    const other = connectSocket(port, '127.0.0.1');
    const said: Buffer[] = [];
    heard.push(said);
    socket.on('data', (bytes: Buffer) => {
      said.push(bytes);
      other.write(bytes);
    });
    other.on('data', (bytes) => socket.write(bytes));
    for (const [from, to] of [
      [socket, other],
      [other, socket],
    ] as const) {
      from.on('error', () => {});
      from.on('close', () => to.destroy());
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { heard, address: `127.0.0.1:${address.port}`, close: () => server.close() };
}

/** Each piece after an answer, as it was said at first. @returns whether that was cut short */
async function sayAgain(port: number, said: readonly Buffer[]): Promise<boolean> {
  const socket = connectSocket(port, '127.0.0.1');
  socket.on('error', () => {});
  let wake = (): void => {};
  socket.on('data', () => wake());
  socket.on('close', () => wake());
  for (const piece of said) {
    if (socket.destroyed) return true;
    const heard = new Promise<void>((resolve) => {
      wake = resolve;
    });
    socket.write(piece);
    await heard;
  }
  const isCut = socket.destroyed;
  socket.destroy();
  return isCut;
}

test('what an authenticated host said lets nobody in who says it again', async () => {
  const secret = makeSecret(AuthHash.sha256);
  const rig = await fabricRig({ hosts: [{ nqn: hostNqn, secret }] });
  const { port } = rig.target.places[0]!;
  const wire = await listenIn(port);
  try {
    const old = new Uint8Array(512).fill(1);
    const host = await rig.connect({ address: wire.address, hostNqn, secret });
    await writeBlocks(host.namespace(1), 0, old);
    await host.close();
    const now = new Uint8Array(512).fill(2);
    const later = await rig.connect({ hostNqn, secret });
    await writeBlocks(later.namespace(1), 0, now);
    assert.is(wire.heard.length, 2);
    assert.ok(Buffer.concat(wire.heard[1]!).includes(Buffer.from(old)), 'the write was heard');
    assert.ok(await sayAgain(port, wire.heard[0]!), 'the target ends it');
    await sayAgain(port, wire.heard[1]!);
    const found = new Uint8Array(512);
    await readBlocks(later.namespace(1), 0, found);
    assert.equal(found, now);
    assert.ok(later.isConnected, 'the host that is there was not disturbed');
  } finally {
    wire.close();
    await rig.close();
  }
});

test('with TLS both sides need a certificate of the authority', async () => {
  const server = { key: serverKey, certificate: serverCertificate, authority };
  const rig = await fabricRig({}, { tls: server });
  const peerName = 'localhost';
  try {
    const client = { key: clientKey, certificate: clientCertificate, authority, peerName };
    const host = await rig.connect({ tls: client });
    await readBlocks(host.namespace(1), 0, new Uint8Array(512));
    const stranger = { key: strangerKey, certificate: strangerCertificate, authority, peerName };
    for (const tls of [stranger, undefined]) {
      let message = 'in';
      try {
        await rig.connect({ connectMs: 1000, ...(tls !== undefined && { tls }) });
      } catch (error) {
        message = error instanceof Error ? error.message : '';
      }
      assert.is.not(message, 'in');
    }
    await readBlocks(host.namespace(1), 0, new Uint8Array(512));
  } finally {
    await rig.close();
  }
});

test.run();
