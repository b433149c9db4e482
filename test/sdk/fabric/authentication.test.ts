import { createHmac, randomBytes } from 'node:crypto';
import * as assert from 'uvu/assert';
import { ControllerAuthentication } from '../../../sdk/fabric/authentication.js';
import { suite } from '../../support/suite.js';

/**
 * The controller's side of DH-HMAC-CHAP against a host that is written from the text
 * [NVMe-2.0 §8.13.5], byte by byte: SHA-256, no Diffie-Hellman, a secret that is used as it is.
 */
const test = suite('DH-HMAC-CHAP of the target');

const secret = 'DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:';
const key = Buffer.from('ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n', 'base64').subarray(
  0,
  32,
);
const hostNqn = 'nqn.2026-11.io.ultima:host';
const subsystemNqn = 'nqn.2026-11.io.ultima:rig';
const tid = 0x4321;
const sha256 = 1;
const noGroup = 0;

/** Explanations of AUTH_Failure1. */
const failed = 1;
const protocol = 2;
const concatenation = 3;
const hash = 4;
const group = 5;
const payload = 6;
const order = 7;

interface Side {
  readonly controller: ControllerAuthentication;
  readonly closed: { isSo: boolean };
}

function controller(controllerSecret?: string): Side {
  const closed = { isSo: false };
  const host = { nqn: hostNqn, secret, ...(controllerSecret && { controllerSecret }) };
  return {
    closed,
    controller: new ControllerAuthentication({
      ...{ host, hostNqn, subsystemNqn },
      beforeDone: async () => {},
      whenFailed: () => {
        closed.isSo = true;
      },
    }),
  };
}

function negotiate(): Buffer {
  const message = Buffer.alloc(72);
  message.writeUInt16LE(tid, 4);
  message[7] = 1;
  message.set([1, 0, 1, 1], 8);
  message[12] = sha256;
  message[42] = noGroup;
  return message;
}

interface Challenge {
  readonly value: Buffer;
  readonly sequence: number;
}

function fetchChallenge({ controller }: Side): Challenge {
  const message = Buffer.alloc(256);
  assert.is(controller.give(message), 0);
  assert.equal([...message.subarray(0, 2)], [1, 1]);
  assert.is(message.readUInt16LE(4), tid);
  assert.equal([...message.subarray(6, 12)], [32, 0, sha256, noGroup, 0, 0]);
  return { value: message.subarray(16, 48), sequence: message.readUInt32LE(12) };
}

function responseOf(
  { value, sequence }: Challenge,
  role: string,
  ...[own, other]: readonly string[]
): Buffer {
  const numbers = Buffer.alloc(7);
  numbers.writeUInt32LE(sequence, 0);
  numbers.writeUInt16LE(tid, 4);
  const text = Buffer.from(`${role}${own}\0${other}`);
  return createHmac('sha256', key)
    .update(Buffer.concat([value, numbers, text]))
    .digest();
}

function reply(challenge: Challenge, ours: Challenge | null = null): Buffer {
  const message = Buffer.alloc(80);
  message.set([1, 2]);
  message.writeUInt16LE(tid, 4);
  message[6] = 32;
  message[8] = ours === null ? 0 : 1;
  message.writeUInt32LE(ours?.sequence ?? 0, 12);
  message.set(responseOf(challenge, 'HostHost', hostNqn, subsystemNqn), 16);
  if (ours !== null) message.set(ours.value, 48);
  return message;
}

/** @returns the explanation of the failure that the host is told */
async function explanation({ controller, closed }: Side): Promise<number> {
  const message = Buffer.alloc(256);
  assert.is(controller.give(message), 0);
  assert.equal([...message.subarray(0, 2)], [0, 0xf0]);
  assert.is(message.readUInt16LE(4), tid);
  assert.is(message[6], 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(closed.isSo, true, 'the connection is ended');
  assert.is(controller.isDone, false);
  return message[7]!;
}

test('a host that knows the secret is let in', async () => {
  const side = controller();
  assert.is(side.controller.take(negotiate()), 0);
  const challenge = fetchChallenge(side);
  assert.is(await side.controller.take(reply(challenge)), 0);
  assert.is(side.controller.isDone, false, 'not before it is told');
  const message = Buffer.alloc(256);
  assert.is(side.controller.give(message), 0);
  assert.equal([...message.subarray(0, 2), message[8]], [1, 3, 0]);
  assert.is(side.controller.isDone, true);
});

test('a controller that is asked to shows that it knows its own secret', async () => {
  const side = controller(secret);
  side.controller.take(negotiate());
  const ours = { value: randomBytes(32), sequence: 0x0102_0304 };
  await side.controller.take(reply(fetchChallenge(side), ours));
  const message = Buffer.alloc(256);
  assert.is(side.controller.give(message), 0);
  assert.equal([...message.subarray(0, 2), message[6], message[8]], [1, 3, 32, 1]);
  const expected = responseOf(ours, 'Controller', subsystemNqn, hostNqn);
  assert.is(Buffer.compare(message.subarray(16, 48), expected), 0);
  assert.is(side.controller.isDone, false, 'the host has not said that it believes it');
  const success2 = Buffer.alloc(16);
  success2.set([1, 4]);
  success2.writeUInt16LE(tid, 4);
  assert.is(side.controller.take(success2), 0);
  assert.is(side.controller.isDone, true);
});

test('a reply with one wrong bit anywhere lets nobody in', async () => {
  // Reserved bytes, and of a host that asks for nothing, what it would ask with.
  const ignored = (at: number): boolean => {
    return [0, 2, 3, 7, 9].includes(at) || (at >= 12 && at < 16) || at >= 48;
  };
  for (let at = 0; at < 80; at++) {
    const side = controller(secret);
    side.controller.take(negotiate());
    const message = reply(fetchChallenge(side));
    message[at]! ^= 1;
    assert.is(await side.controller.take(message), 0);
    const out = Buffer.alloc(256);
    side.controller.give(out);
    const isIn = out[1] === 3;
    // Asked for an answer, it gives one, and waits for what the host thinks of it.
    if (at === 8) assert.equal([isIn, side.controller.isDone], [true, false]);
    else assert.equal([isIn, side.controller.isDone], [ignored(at), ignored(at)], `byte ${at}`);
  }
});

test('what is wrong is said by its number', async () => {
  const cases: readonly (readonly [string, number, (message: Buffer) => Buffer])[] = [
    ['a short message', payload, (message) => message.subarray(0, 71)],
    ['a secure channel', concatenation, (message) => message.fill(1, 6, 7)],
    ['no protocol', protocol, (message) => message.fill(0, 7, 8)],
    ['another protocol', protocol, (message) => message.fill(2, 8, 9)],
    ['no hash', hash, (message) => message.fill(0, 10, 11)],
    ['a hash that is none', hash, (message) => message.fill(9, 12, 13)],
    ['no group', group, (message) => message.fill(0, 11, 12)],
    ['a group that is none', group, (message) => message.fill(9, 42, 43)],
  ];
  for (const [what, expected, change] of cases) {
    const side = controller();
    assert.is(side.controller.take(change(negotiate())), 0);
    assert.is(await explanation(side), expected, what);
  }
  const replies: readonly (readonly [string, number, (message: Buffer) => Buffer])[] = [
    ['cut short', payload, (message) => message.subarray(0, 79)],
    ['another length of the hash', payload, (message) => message.fill(48, 6, 7)],
    ['a value of a group', payload, (message) => message.fill(1, 10, 11)],
    ['another transaction', payload, (message) => message.fill(0, 4, 6)],
    ['the wrong response', failed, (message) => message.fill(0, 16, 48)],
    ['asking who has no secret', failed, (message) => message.fill(1, 8, 9)],
    ['a second negotiation', order, () => negotiate()],
    ['a success', order, (message) => message.fill(4, 1, 2)],
  ];
  for (const [what, expected, change] of replies) {
    const side = controller();
    side.controller.take(negotiate());
    const message = change(reply(fetchChallenge(side)));
    assert.is(await side.controller.take(message), 0);
    assert.is(await explanation(side), expected, what);
  }
});

test('messages out of their order let nobody in', async () => {
  const early = controller();
  assert.is(await early.controller.take(reply({ value: Buffer.alloc(32), sequence: 1 })), 0);
  assert.is(early.controller.isDone, false);
  const silent = controller();
  assert.is.not(silent.controller.give(Buffer.alloc(256)), 0, 'nothing was negotiated');
  const side = controller();
  side.controller.take(negotiate());
  assert.is.not(side.controller.give(Buffer.alloc(47)), 0, 'no room for a challenge');
  const challenge = fetchChallenge(side);
  assert.is.not(side.controller.give(Buffer.alloc(256)), 0, 'a reply is due');
  await side.controller.take(reply(challenge));
  assert.is.not(side.controller.give(Buffer.alloc(15)), 0, 'no room for a success');
  assert.is(side.controller.isDone, false);
  const gone = controller();
  gone.controller.take(negotiate());
  fetchChallenge(gone);
  const failure2 = Buffer.alloc(16);
  failure2.set([0, 0xf1]);
  failure2.writeUInt16LE(tid, 4);
  assert.is(gone.controller.take(failure2), 0);
  assert.equal([gone.closed.isSo, gone.controller.isDone], [true, false]);
});

test.run();
