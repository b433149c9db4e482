import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { openServed, openServedAddress } from '../../../native/index.js';
import { parseVfioUserAddress } from '../../../native/vfio-user/address.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { open } from '../../../sdk/open.js';
import { suite } from '../../support/suite.js';
import { Ask, type Plan } from './fake-plan.js';
import { arenaBytes, command, dwords, FakeRig, kernel, usual } from './fake-rig.js';

const client = suite('native/vfio-user client');
const rig = new FakeRig(client);

rig.test('the first message proposes version 0.3 and what we take', async (fake) => {
  await rig.served(fake, usual, async () => {});
  const [first] = (await fake.report()).heard;
  const json =
    '{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,' +
    '"max_dma_maps":65535,"pgsizes":4096}}\0';
  const size = 16 + 4 + json.length;
  const head = `00000100${dwords(size, 0, 0)}00000300`;
  assert.is(first?.hex, head + Buffer.from(json).toString('hex'));
});

rig.test('opening asks what is there, resets, then gives memory, in this order', async (fake) => {
  await rig.served(fake, usual, async () => {});
  const { heard, memory } = await fake.report();
  const sent = heard.slice(1).map(({ hex }) => hex);
  const expected = [
    // argsz 16; the rest must be zero [vfio-user §VFIO_USER_DEVICE_GET_INFO].
    command(4, dwords(16, 0, 0, 0)),
    // Configuration space is region 7 [Linux-UAPI vfio.h].
    command(5, dwords(1024, 0, 7, 0, 0, 0, 0, 0)),
    // Vendor and device.
    command(9, dwords(0, 0, 7, 4)),
    command(13, ''),
    // Readable and writable, from the start of the file, 64 KiB at device address 64 KiB.
    command(2, dwords(32, 3, 0, 0, 0x1_0000, 0, 0x1_0000, 0)),
    // Error and request interrupts.
    command(7, dwords(16, 0, 3, 0)),
    command(7, dwords(16, 0, 4, 0)),
  ];
  assert.equal(sent.slice(0, 3), expected.slice(0, 3));
  assert.equal(
    sent.filter((hex) => expected.slice(3).includes(hex)),
    expected.slice(3),
  );
  const map = heard.find(({ hex }) => hex === expected[4]);
  assert.is(map?.descriptors, 1);
  assert.equal(memory, [[0x1_0000, '00'.repeat(16)]]);
});

rig.test('closing stops bus mastering, unmaps the memory and says nothing more', async (fake) => {
  await rig.served(fake, usual, async (fn) => fn.config.write16(4, 0x0006));
  const sent = (await fake.report()).heard.map(({ hex }) => hex).slice(-3);
  assert.equal(sent, [
    command(9, dwords(4, 0, 7, 2)),
    command(10, `${dwords(4, 0, 7, 2)}0200`),
    command(3, dwords(24, 0, 0x1_0000, 0, 0x1_0000, 0)),
  ]);
});

rig.test('registers that are not mapped are read and written in messages', async (fake) => {
  await rig.served(fake, usual, async (fn) => {
    const bar = fn.bar(0);
    assert.is(bar.length, 0x2000);
    assert.is(bar.read32(0), 0x0f01_07ff);
    bar.write32(0x14, 0x1234_5678);
    assert.is(bar.read32(0x14), 0x1234_5678);
    assert.is(bar.read32(0x2000), 0xffff_ffff, 'behind the end');
    bar.write32(0x2000, 1);
    assert.is(fn.bar(0), bar);
    assert.throws(() => fn.bar(3), /has no BAR 3/);
    fn.bar(2).write32(4, 9);
    assert.throws(() => fn.bar(6), /BAR 6 is not in 0..5/);
  });
  const sent = (await fake.report()).heard.map(({ hex }) => hex);
  assert.ok(sent.includes(command(9, dwords(0, 0, 0, 4))));
  // Nothing is mapped that could overtake it: no reply is asked for, bit 4 of the flags.
  const write = dwords(10 << 16, 36, 0x10, 0) + dwords(0x14, 0, 0, 4, 0x1234_5678);
  assert.ok(sent.includes(write));
  assert.ok(sent.includes(dwords(10 << 16, 36, 0x10, 0) + dwords(4, 0, 2, 4, 9)));
  assert.is(sent.filter((hex) => hex.includes(dwords(0x2000, 0, 0, 4))).length, 0);
});

rig.test('mapped doorbells are stores that cost no message', async (fake) => {
  await rig.served(fake, { ...usual, mapsDoorbells: true }, async (fn) => {
    const bar = fn.bar(0);
    bar.write32(0x1000, 11);
    bar.write32(0x1004, 22);
    assert.is(bar.read32(0x1004), 22);
    bar.write32(0x14, 7);
    fn.bar(2).write32(4, 9);
  });
  const { heard, doorbells } = await fake.report();
  assert.equal(doorbells.slice(0, 3), [11, 22, 0]);
  const sent = heard.map(({ hex }) => hex);
  assert.ok(sent.every((hex) => !hex.includes(dwords(0x1000, 0, 0, 4))));
  // A register write beside mapped doorbells waits for its answer: none may overtake it. Neither
  // may they overtake a write to another window, where the controller memory buffer may be.
  assert.ok(sent.includes(command(10, dwords(0x14, 0, 0, 4, 7))));
  assert.ok(sent.includes(command(10, dwords(4, 0, 2, 4, 9))));
});

rig.test('a BAR that is mapped as a whole costs no message at all', async (fake) => {
  await rig.served(fake, { ...usual, mapsAll: true }, async (fn) => {
    assert.is(fn.bar(0).read32(0), 0x0f01_07ff);
    fn.bar(0).write32(0x1008, 5);
  });
  const { heard, doorbells } = await fake.report();
  assert.is(doorbells[2], 5);
  assert.is(
    heard.filter(({ hex }) => hex.startsWith('00000900') && hex.slice(48, 56) === '00000000')
      .length,
    0,
  );
});

rig.test('configuration space is bytes, words and dwords of region 7', async (fake) => {
  await rig.served(fake, usual, async (fn) => {
    const { config } = fn;
    assert.is(config.read32(0), 0x0010_1b36);
    assert.is(config.read16(0), 0x1b36);
    assert.is(config.read8(1), 0x1b);
    config.write8(0x3c, 0xab);
    config.write16(0x3e, 0xcdef);
    assert.is(config.read32(0x3c), 0xcdef_00ab);
    config.write32(0x40, 0xdead_beef);
    assert.is(config.read16(0x42), 0xdead);
    // The server has 256 bytes of it.
    assert.is(config.read32(0x100), 0xffff_ffff);
    assert.is(config.read16(0xff), 0xffff);
    assert.is(config.read8(-1), 0xff);
  });
});

rig.test('vectors are connected, at most as many with a message as agreed', async (fake) => {
  await rig.served(fake, { ...usual, msixVectors: 11 }, async (fn) => {
    assert.is(fn.interrupts.vectorCount, 11);
    fn.interrupts.enable(11);
    // This server fires what it is given.
    assert.is(await fn.interrupts.wait(10, fn.clock.nowNs() + 5e9), true);
    assert.is(fn.interrupts.take(0), true);
    assert.is(fn.interrupts.take(0), false);
    fn.interrupts.enable(0);
  });
  const { heard } = await fake.report();
  const sets = heard.filter(({ hex }) => hex.startsWith('00000800'));
  // DATA_EVENTFD | ACTION_TRIGGER = 0x24; DATA_NONE | ACTION_TRIGGER = 0x21 [Linux-UAPI vfio.h].
  assert.equal(sets, [
    { hex: command(8, dwords(20, 0x24, 2, 0, 8)), descriptors: 8 },
    { hex: command(8, dwords(20, 0x24, 2, 8, 3)), descriptors: 3 },
    { hex: command(8, dwords(20, 0x21, 2, 0, 0)), descriptors: 0 },
  ]);
});

rig.test('memory with access of its own is mapped so, and unmapped when freed', async (fake) => {
  await rig.served(fake, usual, async (fn) => {
    const region = fn.dma.allocate(5000, { access: 'read' });
    assert.is(region.iova, 0x2_0000);
    // The server wrote its mark into the last dword of the mapping: we share memory.
    assert.is(new Uint32Array(region.bytes.buffer)[2047], 0xfeed_beef);
    fn.dma.free(region);
    assert.throws(() => fn.dma.free(region), /freed already/);
  });
  const sent = (await fake.report()).heard.map(({ hex }) => hex);
  assert.ok(sent.includes(command(2, dwords(32, 1, 0, 0, 0x2_0000, 0, 0x2000, 0))));
  assert.ok(sent.includes(command(3, dwords(24, 0, 0x2_0000, 0, 0x2000, 0))));
});

rig.test('a server that takes no descriptors is served by messages', async (fake) => {
  const json = '{"capabilities":{"max_msg_fds":0}}';
  const dmaRead = command(Ask.dmaRead, dwords(0x1_0004, 0, 8, 0));
  const dmaWrite = command(Ask.dmaWrite, `${dwords(0x1_0010, 0, 4, 0)}aabbccdd`);
  const plan: Plan = {
    version: [0, 1, json],
    deviations: [{ command: Ask.read, at: 3, first: [dmaRead, dmaWrite] }],
  };
  await rig.served(fake, plan, async (fn) => {
    const region = fn.dma.allocate(4096);
    assert.is(region.iova, 0x1_0000);
    region.words.set([1, 2, 3, 4, 5]);
    fn.config.read32(0);
    fn.config.read32(0);
    assert.equal([...region.words.subarray(0, 5)], [1, 2, 3, 4, 0xddcc_bbaa]);
  });
  const { heard } = await fake.report();
  assert.ok(heard.every(({ descriptors }) => descriptors === 0));
  const replies = heard.map(({ hex }) => hex).filter((hex) => hex.slice(16, 24) === dwords(1));
  assert.equal(replies, [
    dwords(11 << 16, 40, 1, 0) + dwords(0x1_0004, 0, 8, 0, 2, 3),
    dwords(12 << 16, 32, 1, 0) + dwords(0x1_0010, 0, 4, 0),
  ]);
});

rig.test('without shared memory no descriptor goes either way', async (fake) => {
  await fake.plan({ ...usual, mapsDoorbells: false });
  const fn = await openServed(rig.path, { arenaBytes, sharesMemory: false });
  assert.is(fn.bar(0).read32(0), 0x0f01_07ff);
  await fn.close();
  const { heard } = await fake.report();
  assert.ok(heard.every(({ descriptors }) => descriptors === 0));
  const [first] = heard;
  assert.match(Buffer.from(first!.hex, 'hex').toString('latin1'), /"max_msg_fds":0,/);
  assert.ok(
    heard.some(({ hex }) => hex.startsWith('00000200')),
    'the memory has its addresses',
  );
});

rig.test('a server reaches nothing but what was mapped, and only as it was', async (fake) => {
  const ask = (number: number, payload: string): string => command(number, payload);
  const end = 0x2_0000;
  const first = [
    ask(Ask.dmaRead, dwords(0xfffc, 0, 8, 0)),
    ask(Ask.dmaRead, dwords(end - 4, 0, 8, 0)),
    ask(Ask.dmaRead, dwords(0, 0xffff_ffff, 8, 0)),
    ask(Ask.dmaRead, dwords(0x1_0000, 0, 0, 0)),
    ask(Ask.dmaRead, dwords(0x1_0000, 0, 0x10_0001, 0)),
    ask(Ask.dmaRead, dwords(0x1_0000, 0, 4, 1)),
    ask(Ask.dmaRead, dwords(0x1_0000)),
    ask(Ask.dmaWrite, `${dwords(0x1_0000, 0, 8, 0)}11223344`),
    ask(Ask.dmaWrite, `${dwords(0x2_0000, 0, 4, 0)}11223344`),
    ask(Ask.reset, ''),
    ask(99, ''),
  ];
  const plan: Plan = { deviations: [{ command: Ask.read, at: 2, first }] };
  await rig.served(fake, plan, async (fn) => {
    const readOnly = fn.dma.allocate(4096, { access: 'read' });
    assert.is(readOnly.iova, 0x2_0000);
    fn.config.read32(0);
    assert.is(readOnly.words[0], 0);
    assert.is(fn.isRemoved, false);
  });
  const { heard } = await fake.report();
  const errors = heard
    .map(({ hex }) => Buffer.from(hex, 'hex'))
    .filter((bytes) => bytes.readUInt32LE(8) === 0x21)
    .map((bytes) => [bytes.readUInt32LE(4), bytes.readUInt32LE(12)]);
  // EFAULT for what is not mapped so, EINVAL for what cannot be, EOPNOTSUPP for the rest.
  const [fault, invalid, unsupported] = [14, 22, 95].map((errno) => [16, errno]);
  assert.equal(errors, [
    fault,
    fault,
    invalid,
    invalid,
    invalid,
    invalid,
    invalid,
    invalid,
    fault,
    unsupported,
    unsupported,
  ]);
});

rig.test('a reset leaves configuration space and interrupts as they were', async (fake) => {
  await rig.served(fake, usual, async (fn) => {
    fn.config.write32(0x10, 0xfe00_0000);
    fn.config.write16(4, 0x0006);
    fn.interrupts.enable(1);
    await fn.reset('function');
    assert.is(fn.config.read16(4), 0x0006);
  });
  const sent = (await fake.report()).heard.map(({ hex }) => hex);
  const at = sent.lastIndexOf(command(13, ''));
  const after = sent.slice(at + 1);
  assert.ok(after.includes(command(10, dwords(0x10, 0, 7, 4, 0xfe00_0000))));
  assert.ok(after.includes(command(10, `${dwords(4, 0, 7, 2)}0600`)));
  const connected = after.indexOf(command(8, dwords(20, 0x24, 2, 0, 1)));
  assert.ok(connected > after.indexOf(command(8, dwords(20, 0x21, 2, 0, 0))));
});

rig.test('a server that wants its device back is heard, and one that has failed', async (fake) => {
  for (const [notice, isHeard] of [
    [4, true],
    [4, false],
    [3, true],
  ] as const) {
    await fake.plan({ ...usual, notice });
    let asked = 0;
    const onRemovalRequest = (): void => {
      asked++;
    };
    const fn = await openServed(rig.path, { arenaBytes, ...(isHeard ? { onRemovalRequest } : {}) });
    const isGone = notice === 3 || !isHeard;
    const untilNs = fn.clock.nowNs() + 5e9;
    while (!fn.isRemoved && asked === 0 && fn.clock.nowNs() < untilNs) {
      await fn.clock.turn(untilNs);
    }
    assert.is(fn.isRemoved, isGone);
    assert.is(asked > 0, !isGone);
    if (!isGone) assert.is(fn.bar(0).read32(0), 0x0f01_07ff, 'it works until it is closed');
    await fn.close();
  }
});

rig.test('a device that cannot be reset is opened all the same', async (fake) => {
  await rig.served(fake, { ...usual, canReset: false }, async (fn) => {
    let refused: unknown;
    await fn.reset('function').catch((error: unknown) => {
      refused = error;
    });
    assert.ok(refused instanceof UltimaError);
    assert.is(refused.code, ErrorCode.deviceUnsupported);
  });
  const sent = (await fake.report()).heard.map(({ hex }) => hex);
  assert.not.ok(sent.includes(command(13, '')));
});

client('an address is a path, a folder, and options that are understood', () => {
  assert.equal(parseVfioUserAddress('vfio-user:/run/x/cntrl'), {
    path: '/run/x/cntrl',
    options: {},
  });
  assert.equal(
    parseVfioUserAddress('vfio-user:a/b?arena=1MiB&poison=1&shared=0&timeoutMs=9&reconnectMs=0')
      .options,
    { arenaBytes: 1 << 20, poisonsFreed: true, sharesMemory: false, timeoutMs: 9, reconnectMs: 0 },
  );
  mkdirSync(join(rig.folder, 'card'));
  assert.is(
    parseVfioUserAddress(`vfio-user:${rig.folder}/card`).path,
    join(rig.folder, 'card/cntrl'),
  );
  for (const wrong of [
    '',
    '?arena=1MiB',
    'x?arena=1',
    'x?speed=2',
    'x?timeoutMs=0',
    'x?poison=2',
  ]) {
    assert.throws(
      () => parseVfioUserAddress(`vfio-user:${wrong}`),
      (error: unknown) => error instanceof UltimaError && error.code === ErrorCode.addressInvalid,
      wrong,
    );
  }
});

client('what cannot be opened says what to do', async () => {
  const failure = async (address: string): Promise<string> => {
    try {
      await open(address);
    } catch (error) {
      if (error instanceof UltimaError) return error.message;
    }
    return '';
  };
  if (kernel === null) {
    assert.match(await failure(`vfio-user:${rig.folder}/none`), /cannot be used here/);
    return;
  }
  assert.match(await failure(`vfio-user:${rig.folder}/none`), /nothing; start the server first/);
  assert.match(await failure('vfio-user:/proc/version'), /not a socket/);
  assert.match(await failure('vfio-use:x'), /'vfio-user:<path of a socket>'/);
  await assertRejects(openServedAddress('vfio-user:'), /names no socket/);
});

async function assertRejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  let text = '';
  await promise.catch((error: unknown) => {
    text = String(error);
  });
  assert.match(text, message);
}

client.run();
