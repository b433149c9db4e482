import * as assert from 'uvu/assert';
import { ExchangeServer, exchange, type Sending } from '../../../sdk/node/exchange.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { fabricRig } from '../../support/fabric-rig.js';
import { suite } from '../../support/suite.js';

const test = suite('messages over vendor commands');

/** The answer to n bytes: 3 n bytes that follow from them. */
function tripled(message: Uint8Array): Uint8Array {
  return Uint8Array.from(
    { length: 3 * message.length },
    (_, i) => message[i % message.length]! ^ i,
  );
}

function bytesOf(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7) >> 2);
}

test('messages and answers of every length arrive over a connection', async () => {
  const server = new ExchangeServer(async (message) => tripled(message));
  const rig = await fabricRig({ onVendorCommand: (command) => server.take(command) });
  try {
    const host = await rig.connect();
    const send: Sending = (command) => host.vendorCommand(command);
    for (const length of [1, 2, 3, 4, 5, 4095, 4097, 32 * 1024, 32 * 1024 + 1, 100_003, 600_001]) {
      const message = bytesOf(length);
      const answer = await exchange(send, message);
      assert.is(Buffer.compare(answer!, tripled(message)), 0, `${length} bytes`);
    }
  } finally {
    await rig.close();
  }
});

test('a long answer takes few ways there and back', async () => {
  // 128 KiB of a snapshot as base64, and the map of 16 TiB in hexadecimal digits.
  for (const [answerBytes, wanted] of [
    [100, 2],
    [32 * 1024, 2],
    [175_000, 3],
    [4 * 1024 * 1024, 10],
  ] as const) {
    const server = new ExchangeServer(async () => bytesOf(answerBytes));
    let count = 0;
    const answer = await exchange(async ({ opcode, dwords, send, receive }) => {
      count += 1;
      const data = send ?? new Uint8Array(0);
      const mostAnswerBytes = receive?.length ?? 0;
      const said = await server.take({ opcode, dwords: [...dwords], data, mostAnswerBytes });
      receive?.set(said.data ?? []);
      return { status: said.status, result: said.result ?? 0 };
    }, bytesOf(10));
    assert.is(Buffer.compare(answer!, bytesOf(answerBytes)), 0);
    assert.is(count, wanted, `${answerBytes} bytes`);
  }
});

/** What a controller does with one part, told by dwords alone. */
function part(server: ExchangeServer, opcode: number, dwords: number[], data: Uint8Array) {
  return server.take({ opcode, dwords, data, mostAnswerBytes: 100 });
}

test('parts that do not follow one another are refused, and what was begun is not answered', async () => {
  let calls = 0;
  const server = new ExchangeServer(async (message) => {
    calls += 1;
    return message;
  });
  const some = bytesOf(10);
  const wrong: [number[], Uint8Array][] = [
    [[5, 20], some],
    [[0, 0], some],
    [[0, 2 ** 31], some],
    [[0, 9], some],
    [[0, 20], new Uint8Array(0)],
  ];
  for (const [dwords, data] of wrong) {
    assert.is((await part(server, 0xc1, dwords, data)).status, Status.invalidField);
  }
  assert.is((await part(server, 0xc1, [0, 20], some)).status, Status.success);
  assert.is((await part(server, 0xc1, [10, 21], some)).status, Status.invalidField);
  assert.is((await part(server, 0xc2, [0], some)).status, Status.commandSequenceError);
  assert.is(calls, 0);
  assert.is((await part(server, 0xc1, [10, 20], some)).status, Status.success);
  assert.is((await part(server, 0xc2, [0], some)).result, 20);
  assert.is((await part(server, 0xc2, [21], some)).status, Status.invalidField);
  assert.is((await part(server, 0xc3, [0], some)).status, Status.invalidOpcode);
});

test('a controller that says what makes no sense has no answer', async () => {
  const lies: Sending[] = [
    async () => ({ status: Status.invalidField, result: 0 }),
    async ({ opcode }) => ({ status: 0, result: opcode === 0xc2 ? 2 ** 31 : 0 }),
    async ({ opcode, dwords }) => ({
      status: 0,
      result: opcode === 0xc2 ? 90_000 + dwords[0]! : 0,
    }),
  ];
  for (const send of lies) assert.is(await exchange(send, bytesOf(3)), null);
});

test.run();
