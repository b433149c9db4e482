import * as assert from 'uvu/assert';
import { LinkTiming } from '../../../sim/pcie/link.js';
import { RootPort } from '../../../sim/pcie/root-port.js';
import { defineProfile, findProfile } from '../../../sim/profiles/index.js';
import type { LinkProfile } from '../../../sim/profiles/profile.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';

const test = suite('link timing');
const base = findProfile('simple');

function makeLink(generation: number, lanes: number, more: Partial<LinkProfile> = {}) {
  const profile = defineProfile(base, {
    link: {
      generation,
      lanes,
      maxPayloadBytes: 256,
      packetOverheadBytes: 24,
      propagationNs: 0,
      completerNs: 0,
      ...more,
    },
  });
  const world = new World();
  return { world, link: new LinkTiming(world, profile.link) };
}

test('a write of 4 KiB takes its packets times the line rate', () => {
  // 16 packets of 256 + 24 bytes; generation 3: 1.015625 ns per byte and lane.
  assert.is(makeLink(3, 4).link.reserveWrite(4096), Math.floor((4480 * 1.015625) / 4));
  assert.is(makeLink(1, 1).link.reserveWrite(4096), 4480 * 4);
  assert.is(makeLink(4, 16).link.reserveWrite(4096), Math.floor((4480 * 65) / 128 / 16));
});

test('each generation and each doubling of lanes is faster than the one before', () => {
  const times = [1, 2, 3, 4, 5].map((generation) =>
    makeLink(generation, 1).link.reserveWrite(65_536),
  );
  for (let i = 1; i < times.length; i++) assert.ok(times[i]! < times[i - 1]! * 0.6);
  const widths = [1, 2, 4, 8, 16].map((lanes) => makeLink(3, lanes).link.reserveWrite(65_536));
  for (let i = 1; i < widths.length; i++) assert.ok(widths[i]! < widths[i - 1]! * 0.51);
});

test('a thousand small transfers take as long as their sum: nothing is rounded away', () => {
  const { link } = makeLink(5, 16);
  let last = 0;
  for (let i = 0; i < 1000; i++) last = link.reserveWrite(16);
  assert.is(last, Math.floor((1000 * 40 * 65) / 256 / 16));
});

test('data of a read does not hold up a write, its requests do', () => {
  const { link } = makeLink(1, 1);
  const alone = makeLink(1, 1).link.reserveWrite(4096);
  link.reserveRead(1024);
  // Two requests of at most 512 bytes, 24 bytes each, 4 ns per byte.
  assert.is(link.reserveWrite(4096), alone + 2 * 24 * 4);
});

test('a reserved write goes between the packets of those that wait, which end later by as much', () => {
  const { link } = makeLink(1, 1);
  const alone = makeLink(1, 1).link.reserveWrite(64);
  const large = makeLink(1, 1).link.reserveWrite(65_536);
  link.reserveWrite(65_536);
  assert.is(link.reserveWrite(64, true), alone);
  assert.is(link.reserveWrite(64), large + 2 * alone);
});

test('a read takes its requests up and then its completions down', () => {
  const { link } = makeLink(1, 1);
  // 8 requests; 16 completions of 256 bytes with a header of three dwords: 20 bytes each.
  assert.is(link.reserveRead(4096), 8 * 24 * 4 + (4096 + 16 * 20) * 4);
});

test('propagation is added once to a write and twice, with the completer, to a read', () => {
  const world = new World();
  const link = new LinkTiming(world, { ...base.link, propagationNs: 300, completerNs: 70 });
  assert.is(link.postedNs, 300);
  assert.is(link.nonPostedNs, 670);
  const plain = makeLink(3, 4).link;
  assert.is(link.reserveWrite(512) - plain.reserveWrite(512), 300);
  assert.is(link.reserveRead(512) - plain.reserveRead(512), 670);
});

test('completions carry what the root complex gives, never more than a payload', () => {
  const link = makeLink(1, 1, { completionBytes: 64 }).link;
  // 8 requests of 24 bytes; 64 completions of 64 bytes with 20 bytes each.
  assert.is(link.reserveRead(4096), 8 * 24 * 4 + (4096 + 64 * 20) * 4);
  const large = makeLink(1, 1, { completionBytes: 4096 }).link;
  assert.is(large.reserveRead(4096), 8 * 24 * 4 + (4096 + 16 * 20) * 4);
});

test('acknowledgements of a write take bandwidth of the other direction', () => {
  const { link } = makeLink(1, 1, { ackBytes: 8 });
  const alone = makeLink(1, 1).link.reserveRead(512);
  link.reserveWrite(4096);
  const requestNs = 24 * 4;
  // The request waits for no data; its completions wait for 16 x 8 bytes that began before.
  assert.is(link.reserveRead(512), alone + 16 * 8 * 4 - requestNs);
  assert.is(link.downBytes, 512 + 2 * 20 + 16 * 8);
});

test('posted writes flow at one window per return of its credit', () => {
  // 1 KiB may be under way for 10 us: about 100 MB/s where the line has 250 MB/s.
  const { link } = makeLink(1, 1, { postedCreditBytes: 1024, creditReturnNs: 10_000 });
  let last = 0;
  for (let i = 0; i < 1000; i++) last = link.reserveWrite(1024);
  assert.is(last, 999 * 10_000);
  const free = makeLink(1, 1, { postedCreditBytes: 1024, creditReturnNs: 0 }).link;
  for (let i = 0; i < 1000; i++) last = free.reserveWrite(1024);
  assert.is(last, 1000 * (1024 + 4 * 24) * 4);
});

test('reads flow at all tags per round trip', () => {
  // Two requests of 512 bytes in 2 x 4,000 + 2,000 ns.
  const { link } = makeLink(3, 16, { readTags: 2, propagationNs: 4_000, completerNs: 2_000 });
  let last = 0;
  for (let i = 0; i < 1000; i++) last = link.reserveRead(1024);
  const rate = (1000 * 1024) / last;
  assert.ok(Math.abs(rate / (1024 / 10_000) - 1) < 0.01, `${rate} bytes per ns`);
});

test('an urgent read waits for what others have asked for, and no more', () => {
  // A byte takes 4 ns, completions of 256 bytes have headers of 24 - 4.
  const urgentNs = (64 + 20) * 4;
  const requestNs = 24 * 4;
  const tags = { readTags: 4, reservedReadTags: 2, completionBytes: 256 };
  const alone = makeLink(1, 1, tags).link.reserveRead(64, true);
  assert.is(alone, requestNs + urgentNs);
  const { link } = makeLink(1, 1, tags);
  const before = link.reserveRead(1024 * 1024);
  // The two tags of the others are for 512 bytes each.
  assert.is(link.reserveRead(64, true), (1024 + 4 * 20) * 4 + urgentNs);
  // The others' data has made room for it.
  assert.is(link.reserveRead(64), before + 2 * urgentNs);
  const fifo = makeLink(1, 1, { ...tags, reservedReadTags: 0 }).link;
  fifo.reserveRead(1024 * 1024);
  assert.is(fifo.reserveRead(64, true), before + urgentNs);
});

test('a link that was at rest for long, or was reset, is as fast as a new one', () => {
  const credits = { postedCreditBytes: 1024, creditReturnNs: 10_000 };
  const tags = { readTags: 4, reservedReadTags: 2, propagationNs: 100, completerNs: 100 };
  const times = ({ link }: { readonly link: LinkTiming }): readonly number[] => [
    link.reserveWrite(4096),
    link.reserveRead(4096),
    link.reserveRead(64, true),
  ];
  const expected = times(makeLink(1, 1, { ...credits, ...tags }));
  for (const isReset of [false, true]) {
    const used = makeLink(1, 1, { ...credits, ...tags });
    for (let i = 0; i < 100; i++) {
      used.link.reserveWrite(64 * 1024);
      used.link.reserveRead(64 * 1024);
      used.link.reserveRead(64 * 1024, true);
    }
    if (isReset) used.link.reset();
    else used.world.advance(1_000_000_000);
    assert.equal(times(used), expected);
  }
});

test('two cards on a root port as wide as one of them get half each', () => {
  const world = new World();
  const port = new RootPort({ generation: 3, lanes: 4 });
  const profile = { ...base.link, generation: 3, lanes: 4, propagationNs: 0 };
  const cards = [new LinkTiming(world, profile, port), new LinkTiming(world, profile, port)];
  const last = [0, 0];
  for (let i = 0; i < 1000; i++) {
    for (let card = 0; card < 2; card++) last[card] = cards[card]!.reserveWrite(4096);
  }
  // 16 packets of 280 bytes each on four lanes of 1.015625 ns per byte, for both cards.
  const aloneNs = 1000 * 16 * 280 * (1.015625 / 4);
  assert.ok(Math.abs(last[1]! / (2 * aloneNs) - 1) < 0.001, `${last[1]} ns`);
  assert.ok(Math.abs(last[0]! / (2 * aloneNs) - 1) < 0.002, `${last[0]} ns`);
  const wide = new RootPort({ generation: 3, lanes: 16 });
  const free = new LinkTiming(new World(), profile, wide);
  for (let i = 0; i < 1000; i++) last[0] = free.reserveWrite(4096);
  assert.is(last[0], Math.floor(aloneNs));
});

test.run();
