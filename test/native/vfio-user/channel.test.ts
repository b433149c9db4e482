import * as assert from 'uvu/assert';
import { loadAddon } from '../../../native/load.js';
import { UnixSocket } from '../../../native/socket.js';
import { MonotonicClock } from '../../../native/vfio/clock.js';
import { Channel, noReply, nothingExpected } from '../../../native/vfio-user/channel.js';
import { skip, suite } from '../../support/suite.js';
import { Ask } from './fake-plan.js';
import { command, dwords } from './fake-rig.js';

const test = suite('native/vfio-user channel');
const { kernel, unavailableReason } = loadAddon();

interface Ends {
  readonly channel: Channel;
  readonly peer: UnixSocket;
  deaths: number;
}

/** A channel whose other end is ours, too: what it shall receive is sent before it waits. */
function withEnds(title: string, body: (ends: Ends) => void | Promise<void>): void {
  test(title, async () => {
    if (kernel === null) return skip(`native addon: ${unavailableReason}`);
    const [ours, peer] = UnixSocket.pair(kernel);
    const ends: { channel: Channel | null; deaths: number } = { channel: null, deaths: 0 };
    const channel = new Channel({
      socket: ours,
      clock: new MonotonicClock(),
      timeoutMs: 50,
      payloadLimit: 65_536,
      commands: { obey: () => ({ errno: 0, pieces: [new Uint8Array(60_000)] }) },
      onDeath: () => {
        ends.deaths++;
      },
    });
    await body(Object.assign(ends, { channel, peer }));
    channel.die('the test is over');
    peer.close();
  });
}

function reply(id: number, number: number, payload = '', flags = 1): Uint8Array {
  const head = dwords(number * 0x1_0000 + id, 16 + payload.length / 2, flags, 0);
  return Buffer.from(head + payload, 'hex');
}

withEnds('replies are matched by identifier, whatever their order', async ({ channel, peer }) => {
  const late = channel.request(Ask.reset, 0, 10_000);
  peer.send(reply(2, Ask.write));
  assert.is(channel.call(Ask.write, 0, nothingExpected), 0);
  peer.send(reply(1, Ask.reset, '', 0x21));
  const { errno } = await late;
  assert.is(errno, 5, 'an error without a number');
});

withEnds('a reply that comes while another is waited for is not lost', async (ends) => {
  const { channel, peer } = ends;
  const late = channel.request(Ask.reset, 0, 10_000);
  peer.send(reply(1, Ask.reset));
  peer.send(reply(2, Ask.write));
  assert.is(channel.call(Ask.write, 0, nothingExpected), 0);
  assert.is((await late).errno, 0);
});

withEnds('the end of the connection ends whoever waits, once', async (ends) => {
  const { channel, peer } = ends;
  const late = channel.request(Ask.reset, 0, 10_000);
  peer.close();
  assert.is(channel.call(Ask.write, 0, nothingExpected), noReply);
  assert.is((await late).errno, noReply);
  assert.is(channel.call(Ask.write, 0, nothingExpected), noReply);
  assert.is((await channel.request(Ask.reset, 0, 10_000)).errno, noReply);
  assert.is(ends.deaths, 1);
  assert.is(channel.reason, 'it closed the connection');
});

withEnds('a request that is not answered ends with its time', async ({ channel }) => {
  assert.is((await channel.request(Ask.reset, 0, 20)).errno, noReply);
  assert.match(channel.reason, /did not answer within 20 ms/);
});

withEnds('a server that takes no messages is given up, and nothing piles up', (ends) => {
  const { channel } = ends;
  let told = 0;
  for (; channel.isAlive && told < 1_000_000; told++) channel.tell(Ask.write, 20);
  assert.ok(told > 100 && told < 100_000, `${told} messages fit in the socket`);
  assert.is(channel.reason, 'it took no message for 50 ms');
  assert.is(ends.deaths, 1);
});

withEnds('a server that asks and never takes the answers is given up', ({ channel, peer }) => {
  const question = Buffer.from(command(Ask.dmaRead, dwords(0, 0, 60_000, 0)), 'hex');
  for (let i = 0; i < 30 && channel.isAlive; i++) {
    if (peer.send(question) <= 0) break;
    channel.pump();
  }
  assert.is(channel.isAlive, false);
  assert.is(channel.reason, 'it does not take what it asked for');
});

withEnds('answers that the socket had no room for follow in order', ({ channel, peer }) => {
  const question = Buffer.from(command(Ask.dmaRead, dwords(0, 0, 60_000, 0)), 'hex');
  const count = 5;
  for (let i = 0; i < count; i++) peer.send(question);
  channel.pump();
  const into = new Uint8Array(65_536);
  let have = 0;
  for (let i = 0; i < 100 && have < count * 60_016; i++) {
    have += peer.receive(into);
    channel.pump();
  }
  assert.is(have, count * 60_016);
  assert.ok(channel.isAlive);
});

test.run();
