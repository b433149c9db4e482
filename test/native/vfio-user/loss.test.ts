import { readdirSync, readFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { openServed } from '../../../native/index.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { suite } from '../../support/suite.js';
import { Ask } from './fake-plan.js';
import { arenaBytes, command, dwords, FakeRig, kernel } from './fake-rig.js';

const loss = suite('native/vfio-user connections that end');
const rig = new FakeRig(loss);

rig.test('a connection that ends is a function that is removed', async (fake) => {
  const deviations = [{ command: Ask.read, at: 3, instead: 'close' as const }];
  const before = readdirSync('/proc/self/fd').length;
  await rig.served(fake, { deviations, mapsDoorbells: true }, async (fn) => {
    const bar = fn.bar(0);
    fn.interrupts.enable(2);
    const region = fn.dma.allocate(4096);
    region.words[0] = 99;
    assert.is(bar.read32(0), 0x0f01_07ff);
    assert.is(fn.isRemoved, false);
    assert.is(bar.read32(0x1c), 0xffff_ffff);
    assert.is(fn.isRemoved, true);
    assert.is(bar.read32(0x1000), 0xffff_ffff, 'the doorbells are gone, too');
    bar.write32(0x1000, 1);
    assert.is(fn.config.read16(0), 0xffff);
    assert.is(region.words[0], 99, 'our memory is ours');
    assert.is(fn.interrupts.take(0), true, 'what fired before is still there');
    const more = fn.dma.allocate(4096);
    fn.dma.free(more);
    let refused: unknown;
    await fn.reset('function').catch((error: unknown) => {
      refused = error;
    });
    assert.ok(refused instanceof UltimaError);
    assert.is(refused.code, ErrorCode.deviceRemoved);
    assert.match(refused.message, /it closed the connection; start its server and open it again/);
  });
  // The server lives in this process: once it has reported, it has closed its side as well.
  await fake.report();
  assert.is(readdirSync('/proc/self/fd').length, before);
});

rig.test(
  'the end of a connection is seen by the event loop and by a polling loop',
  async (fake) => {
    const deviations = [{ command: Ask.read, at: 2, afterwards: 'close' as const }];
    await rig.served(fake, { deviations }, async (fn) => {
      assert.is(fn.config.read32(0), 0x0010_1b36);
      const untilNs = fn.clock.nowNs() + 5e9;
      while (!fn.isRemoved && fn.clock.nowNs() < untilNs) await fn.clock.turn(untilNs);
      assert.is(fn.isRemoved, true);
    });
    await rig.served(fake, { deviations }, async (fn) => {
      fn.config.read32(0);
      const untilNs = fn.clock.nowNs() + 5e9;
      while (!fn.isRemoved && fn.clock.nowNs() < untilNs) fn.clock.idle(untilNs);
      assert.is(fn.isRemoved, true);
    });
  },
);

rig.test('with reconnectMs the function comes back, reset and with its memory', async (fake) => {
  const deviations = [{ command: Ask.read, at: 3, instead: 'close' as const }];
  await fake.plan({ deviations, mapsDoorbells: true });
  const fn = await openServed(rig.path, { arenaBytes, reconnectMs: 10_000 });
  const bar = fn.bar(0);
  fn.interrupts.enable(1);
  const region = fn.dma.allocate(4096);
  region.words[0] = 99;
  bar.write32(0x1000, 1);
  bar.read32(0);
  // The server hangs up; inside this read the connection is made again.
  assert.is(bar.read32(0), 0x0f01_07ff);
  assert.is(fn.isRemoved, false);
  assert.is(region.words[0], 99);
  bar.write32(0x1004, 33);
  assert.is(bar.read32(0x1004), 33);
  await fn.close();
  const { heard, doorbells, memory } = await fake.report();
  assert.is(doorbells[1], 33);
  const sent = heard.map(({ hex }) => hex);
  const second = sent.slice(sent.findLastIndex((hex) => hex.startsWith('00000100')));
  const reset = second.indexOf(command(13, ''));
  const mapped = second.indexOf(command(2, dwords(32, 3, 0, 0, 0x1_0000, 0, 0x1_0000, 0)));
  const connected = second.indexOf(command(8, dwords(20, 0x24, 2, 0, 1)));
  assert.ok(0 < reset && reset < mapped && mapped < connected, 'reset before it reaches memory');
  assert.is(memory.length, 2);
  assert.ok(memory[1]?.[1].startsWith('63000000'), 'the new server sees the memory as it is');
});

rig.test('a server that dies over a reset, and comes back, has done it', async (fake) => {
  const deviations = [{ command: Ask.reset, at: 2, instead: 'close' as const }];
  await fake.plan({ deviations });
  const fn = await openServed(rig.path, { arenaBytes, reconnectMs: 10_000 });
  fn.config.write16(4, 0x0006);
  await fn.reset('function');
  assert.is(fn.isRemoved, false);
  assert.is(fn.config.read16(4), 0x0006);
  await fn.close();
  const sent = (await fake.report()).heard.map(({ hex }) => hex);
  assert.is(sent.filter((hex) => hex === command(13, '')).length, 3);
});

rig.test('memory is out of reach of a server whose connection ended', async (fake) => {
  const deviations = [{ command: Ask.read, at: 2, instead: 'close' as const }];
  await rig.served(fake, { deviations }, async (fn) => {
    const region = fn.dma.allocate(8192);
    const at = kernel!.addressOf(region.words);
    const before = mappingOf(at);
    fn.config.read32(0);
    assert.is(fn.isRemoved, true);
    assert.is.not(mappingOf(at), before, 'other memory stands at the same addresses');
  });
});

/** Device and inode of the file that is mapped at an address. */
function mappingOf(address: number): string {
  const maps = readFileSync('/proc/self/maps', 'utf8');
  for (const line of maps.split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ (\S+ \d+)/.exec(line);
    if (match === null) continue;
    if (address >= parseInt(match[1]!, 16) && address < parseInt(match[2]!, 16)) return match[3]!;
  }
  return '';
}

loss.run();
