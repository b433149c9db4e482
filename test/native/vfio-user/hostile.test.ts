import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { openServed } from '../../../native/index.js';
import { loadAddon } from '../../../native/load.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { skip, suite } from '../../support/suite.js';
import { Ask, type Deviation, type Plan } from './fake-plan.js';
import { FakeServer } from './fake-server.js';

const hostile = suite('native/vfio-user against hostile servers');
const loaded = loadAddon();
const folder = mkdtempSync(join(tmpdir(), 'ultima-hostile-'));
const path = join(folder, 'cntrl');
let server: FakeServer | null = null;

hostile.before(async () => {
  if (loaded.kernel !== null) server = await FakeServer.start(path);
});
hostile.after(async () => {
  await server?.close();
  rmSync(folder, { recursive: true });
});

function dwords(...values: readonly number[]): string {
  return Buffer.from(Uint32Array.from(values).buffer).toString('hex');
}

/** A reply with any payload [vfio-user §Header]. */
function reply(command: number, payload = '', flags = 1): string {
  return dwords(command << 16, 16 + payload.length / 2, flags, 0) + payload;
}

function withServer(title: string, body: (fake: FakeServer) => Promise<void>): void {
  hostile(title, async () => {
    if (server === null) return skip(`native addon: ${loaded.unavailableReason}`);
    const before = readdirSync('/proc/self/fd').length;
    await body(server);
    // The server lives in this process: once it has reported, it has closed its side as well.
    await server.report();
    assert.is(readdirSync('/proc/self/fd').length, before, 'descriptors are left open');
  });
}

/** What opening the function, and then reading a register of it, ends with. */
async function outcome(fake: FakeServer, plan: Plan): Promise<UltimaError | number> {
  await fake.plan(plan);
  try {
    const fn = await openServed(path, { arenaBytes: 65_536, timeoutMs: 300 });
    try {
      return fn.bar(0).read32(0);
    } finally {
      await fn.close();
    }
  } catch (error) {
    if (error instanceof UltimaError) return error;
    throw error;
  }
}

/** One lie at the time of opening is one named error. */
function lie(title: string, plan: Partial<Plan> | Deviation, code: ErrorCode, says: RegExp): void {
  withServer(title, async (fake) => {
    const whole: Plan = 'command' in plan ? { deviations: [plan] } : { deviations: [], ...plan };
    const error = await outcome(fake, whole);
    assert.instance(error, UltimaError);
    if (typeof error === 'number') return;
    assert.is(error.code, code, error.message);
    assert.match(error.message, says);
  });
}

const { backendUnavailable, deviceMisbehaved, deviceRemoved, deviceUnsupported, dmaMapFailed } =
  ErrorCode;

lie('another major version', { version: [1, 0, ''] }, deviceMisbehaved, /version 1\.0 to a pro/);
lie('a minor version above ours', { version: [0, 4, ''] }, deviceMisbehaved, /version 0\.4/);
lie('a version that is refused', { command: 1, errno: 22 }, backendUnavailable, /refuses version/);
lie(
  'a connection that is closed instead of a version',
  { command: 1, instead: 'close' },
  backendUnavailable,
  /closed the connection; either it is no vfio-user server/,
);
lie(
  'a version that never comes',
  { command: 1, instead: 'silence' },
  backendUnavailable,
  /did not answer command 1 within 300 ms.*serves another client/,
);
lie('half a version', { command: 1, instead: 'half' }, backendUnavailable, /closed the connection/);
lie(
  'capabilities without a NUL',
  { command: 1, reply: reply(1, `00000300${'7b7d'}`) },
  deviceMisbehaved,
  /NUL/,
);
lie('capabilities that are a list', { version: [0, 1, '[]'] }, deviceMisbehaved, /no JSON object/);
lie('capabilities cut short', { version: [0, 1, '{"capab'] }, deviceMisbehaved, /no JSON object/);
lie(
  'a count of descriptors that is text',
  { version: [0, 1, '{"capabilities":{"max_msg_fds":"8"}}'] },
  deviceMisbehaved,
  /messageFds is no count/,
);
lie(
  'page sizes of nothing',
  { version: [0, 1, '{"capabilities":{"pgsizes":0}}'] },
  deviceMisbehaved,
  /smallest page|no count/,
);
lie(
  'pages of a GiB only',
  { version: [0, 1, '{"capabilities":{"pgsizes":1073741824}}'] },
  deviceMisbehaved,
  /smallest page has 1073741824 bytes/,
);

lie(
  'a message of 4 GiB',
  { command: 4, reply: dwords(4 << 16, 0xffff_ffff, 1, 0) },
  deviceRemoved,
  /4294967295 bytes/,
);
lie(
  'a message of 15 bytes',
  { command: 4, reply: dwords(4 << 16, 15, 1, 0) },
  deviceRemoved,
  /15 bytes/,
);
lie(
  'a message that is neither command nor reply',
  { command: 4, reply: dwords(4 << 16, 16, 7, 0) },
  deviceRemoved,
  /type 7/,
);
lie(
  'a reply to nothing',
  { command: 4, first: [dwords(0x0004_7777, 16, 1, 0)] },
  deviceRemoved,
  /what was not asked/,
);
lie(
  'a reply to another command',
  { command: 4, reply: reply(5, '00'.repeat(16)) },
  deviceRemoved,
  /answered 5 to 4/,
);
lie(
  'a reply that is too short',
  { command: 4, reply: reply(4, '00'.repeat(15)) },
  deviceRemoved,
  /15 bytes of payload, too few/,
);
lie(
  'a reply that is too long',
  { command: 4, reply: reply(4, '00'.repeat(17)) },
  deviceRemoved,
  /33 bytes, at most 32/,
);
lie(
  'an error with payload',
  { command: 4, reply: reply(4, '00'.repeat(16), 0x21) },
  deviceRemoved,
  /32 bytes, at most 16/,
);
lie(
  'an error without a number is EIO',
  { command: 4, reply: reply(4, '', 0x21) },
  deviceMisbehaved,
  /error 5/,
);
lie(
  'descriptors that nobody asked for',
  { command: 4, memories: [4096] },
  deviceRemoved,
  /1 descriptors came/,
);
lie(
  'more descriptors than were agreed on',
  { command: 5, memories: Array(9).fill(4096) },
  deviceRemoved,
  /more descriptors than were agreed on/,
);
lie(
  'two descriptors of one region',
  { command: 5, memories: [4096, 4096] },
  deviceRemoved,
  /2 descriptors came/,
);

lie(
  'a device that is not PCI',
  { command: 4, reply: reply(4, dwords(16, 1, 9, 5)) },
  deviceUnsupported,
  /not a PCI function/,
);
lie(
  'a device of three regions',
  { command: 4, reply: reply(4, dwords(16, 3, 3, 5)) },
  deviceMisbehaved,
  /3 regions/,
);
lie(
  '16 bytes of configuration space',
  { command: 5, reply: reply(5, dwords(32, 3, 7, 0, 16, 0, 0, 0)) },
  deviceUnsupported,
  /16 bytes of configuration/,
);
lie(
  'a region that is another',
  { command: 5, index: 0, reply: reply(5, dwords(32, 3, 1, 0, 64, 0, 0, 0)) },
  deviceMisbehaved,
  /describes region 1, asked for was 0/,
);
lie(
  'a region beyond 2^53',
  { command: 5, index: 0, reply: reply(5, dwords(32, 3, 0, 0, 0, 0x20_0000, 0, 0)) },
  deviceMisbehaved,
  /beyond 2\^53/,
);
lie(
  'a region whose description grows',
  {
    deviations: [2, 3].map((at) => ({
      command: 5,
      at,
      reply: reply(5, dwords(20_000 * at, 3, 0, 0, 64, 0, 0, 0)),
    })),
  },
  deviceMisbehaved,
  /grows while/,
);

/** Description of BAR 0 with capabilities, 8 KiB. */
function bar0(first: number, ...capabilities: readonly number[]): Deviation {
  const payload = dwords(
    32 + 4 * capabilities.length,
    15,
    0,
    first,
    0x2000,
    0,
    0,
    0,
    ...capabilities,
  );
  return { command: 5, index: 0, reply: reply(5, payload), memories: [0x2000] };
}

lie('capabilities outside the description', bar0(4096), deviceMisbehaved, /do not lie in/);
lie(
  'capabilities inside the structure',
  bar0(16, 0x0001_0001, 0),
  deviceMisbehaved,
  /do not lie in/,
);
lie('capabilities at half a dword', bar0(33, 0x0001_0001, 0, 0), deviceMisbehaved, /do not lie in/);
lie('capabilities in a circle', bar0(32, 0x0001_0009, 32), deviceMisbehaved, /do not lie in/);
lie(
  'a list of areas without its count',
  bar0(32, 0x0001_0001, 0),
  deviceMisbehaved,
  /do not lie in/,
);
lie(
  'more areas than there is room',
  bar0(32, 0x0001_0001, 0, 2, 0, 0, 0, 4096, 0),
  deviceMisbehaved,
  /lists 2 areas/,
);
lie(
  '2^32 areas',
  bar0(32, 0x0001_0001, 0, 0xffff_ffff, 0, 0, 0, 4096, 0),
  deviceMisbehaved,
  /lists 4294967295 areas/,
);
lie(
  'an area behind the region',
  bar0(32, 0x0001_0001, 0, 1, 0, 0x1000, 0, 0x1001, 0),
  deviceMisbehaved,
  /area 0 of region 0 ends at 8193/,
);
lie(
  'an area at 2^63',
  bar0(32, 0x0001_0001, 0, 1, 0, 0, 0x8000_0000, 0x1000, 0),
  deviceMisbehaved,
  /area 0 of region 0/,
);
lie(
  'less memory than the region has',
  { ...bar0(32, 0x0001_0001, 0, 1, 0, 0, 0, 0x2000, 0), memories: [4096] },
  deviceMisbehaved,
  /BAR 0.*it has 4096 bytes/,
);

lie(
  'memory that is refused',
  { command: 2, errno: 17 },
  dmaMapFailed,
  /does not take 65536 bytes.*already/,
);
lie(
  'one mapping at most',
  {
    version: [0, 1, '{"capabilities":{"max_dma_maps":1}}'],
    deviations: [{ command: 2, errno: 28 }],
  },
  dmaMapFailed,
  /error 28/,
);

withServer('a register that is refused reads as all ones, and the function lives', async (fake) => {
  const refused = { command: Ask.read, at: 2, errno: 22 };
  assert.is(await outcome(fake, { deviations: [refused] }), 0xffff_ffff);
});

withServer('a register of another address is no value', async (fake) => {
  for (const payload of [dwords(4, 0, 0, 4, 7), dwords(0, 0, 7, 4, 7), dwords(0, 0, 0, 2, 7)]) {
    const lying = { command: Ask.read, at: 2, reply: reply(9, payload) };
    assert.is(await outcome(fake, { deviations: [lying] }), 0xffff_ffff);
  }
});

withServer('a register that never comes is all ones after the time that it gets', async (fake) => {
  const silent = { command: Ask.read, at: 2, instead: 'silence' as const };
  assert.is(await outcome(fake, { deviations: [silent] }), 0xffff_ffff);
});

withServer('registers that are cut short are a function that is removed', async (fake) => {
  const shrinks = { command: Ask.setIrqs, at: 1, afterwards: 'shrink' as const };
  await fake.plan({ deviations: [shrinks], mapsDoorbells: true });
  const fn = await openServed(path, { arenaBytes: 65_536, timeoutMs: 300 });
  const bar = fn.bar(0);
  bar.write32(0x1000, 1);
  assert.is(fn.isRemoved, false);
  fn.interrupts.enable(1);
  // The answer comes before the cut: a message and its answer later it is over.
  fn.config.read32(0);
  bar.write32(0x1004, 1);
  assert.is(bar.read32(0x1008), 0xffff_ffff);
  assert.is(fn.isRemoved, true);
  await fn.close();
});

withServer('a server that unmaps something else is given up', async (fake) => {
  const wrong = reply(3, dwords(24, 0, 0x2_0000, 0, 0x1000, 0));
  await fake.plan({ deviations: [{ command: 3, at: 1, reply: wrong }] });
  const fn = await openServed(path, { arenaBytes: 65_536, timeoutMs: 300 });
  const region = fn.dma.allocate(8192, { access: 'write' });
  let refused: unknown;
  try {
    fn.dma.free(region);
  } catch (error) {
    refused = error;
  }
  assert.ok(refused instanceof UltimaError);
  assert.is(refused.code, ErrorCode.dmaMapFailed);
  assert.is(fn.isRemoved, true);
  await fn.close();
});

withServer('a server that is gone between any two bytes costs a named error', async (fake) => {
  // All that it says until the register has been read is less.
  let understood = 0;
  for (let cutAfter = 0; cutAfter < 500; cutAfter++) {
    const ended = await outcome(fake, { deviations: [], mapsDoorbells: true, cutAfter });
    if (ended === 0x0f01_07ff) understood++;
    else if (typeof ended === 'number') assert.is(ended, 0xffff_ffff, `after ${cutAfter} bytes`);
    else assert.ok([backendUnavailable, deviceRemoved, dmaMapFailed].some((c) => c === ended.code));
  }
  assert.ok(understood > 0 && understood < 60, `${understood} conversations were long enough`);
});

withServer('a flood of commands does not keep a reply from its deadline', async (fake) => {
  // Each asks for a MiB that is not there; the replies are small.
  const command = dwords(11 << 16, 32, 0, 0) + dwords(0, 1, 0x10_0000, 0);
  const flood = { command: Ask.read, at: 2, instead: 'silence' as const };
  const first = Array<string>(20_000).fill(command);
  assert.is(await outcome(fake, { deviations: [{ ...flood, first }] }), 0xffff_ffff);
});

hostile.run();
