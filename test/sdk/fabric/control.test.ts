import * as assert from 'uvu/assert';
import {
  connectQueue,
  getProperty,
  identifyPage,
  logPageOf,
  setProperty,
  tryControl,
} from '../../../sdk/fabric/host-control.js';
import { HostQueue } from '../../../sdk/fabric/host-queue.js';
import { NodeSockets } from '../../../sdk/sockets/node-sockets.js';
import { ChunkPool } from '../../../sdk/sockets/outbox.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Cns } from '../../../sdk/spec/nvme/identify.js';
import { Status, statusKind } from '../../../sdk/spec/nvme/status.js';
import {
  type FabricRig,
  fabricRig,
  HeldDevice,
  nguidOf,
  rigNqn,
  until,
} from '../../support/fabric-rig.js';
import { suite } from '../../support/suite.js';

const test = suite('sdk/fabric control');
const discovery = 'nqn.2014-08.org.nvmexpress.discovery';

/** An admin queue and nobody who looks after it. */
async function adminQueue(rig: FabricRig, nqn: string, keepAliveMs = 0): Promise<HostQueue> {
  return (await connected(rig, { nqn, keepAliveMs })).queue;
}

interface Wanted {
  readonly nqn: string;
  readonly keepAliveMs?: number;
  /** In each byte of its identifier; 0 when left out. */
  readonly host?: number;
  /** Of the controller that an I/O queue belongs to. */
  readonly cntlid?: number;
}

async function connected(
  rig: FabricRig,
  { nqn, keepAliveMs = 0, cntlid, host = 0 }: Wanted,
): Promise<{ readonly queue: HostQueue; readonly result: number }> {
  const port = rig.target.places[0]!.port;
  const queue = new HostQueue({
    stream: await new NodeSockets().connect({ host: '127.0.0.1', port }, 2000),
    chunks: new ChunkPool(),
    entries: 8,
    headerDigest: false,
    dataDigest: false,
    ended: () => {},
    lost: () => {},
  });
  assert.ok(await queue.open());
  const result = await connectQueue(queue, {
    qid: cntlid === undefined ? 0 : 1,
    entries: 8,
    cntlid: cntlid ?? 0xffff,
    hostId: new Uint8Array(16).fill(host),
    hostNqn: 'nqn.2026-11.io.ultima:someone',
    subsystemNqn: nqn,
    keepAliveMs,
  });
  return { queue, result };
}

test('a host that says nothing within its keep alive timeout loses its association', async () => {
  const rig = await fabricRig();
  try {
    const queue = await adminQueue(rig, rigNqn, 50);
    assert.is(rig.target.status.associations, 1);
    await until('it is let go', () => queue.isClosed && rig.target.status.associations === 0);
  } finally {
    await rig.close();
  }
});

test('discovery names each subsystem once for each place', async () => {
  const rig = await fabricRig({}, { advertise: ['192.0.2.7:4421', '[2001:db8::7]'] });
  try {
    const queue = await adminQueue(rig, discovery);
    await setProperty(queue, 0x14, 0x0046_0001);
    const page = await logPageOf(queue, 0x70, 3072);
    const bytes = Buffer.from(page.buffer);
    assert.is(bytes.readUInt32LE(8), 2);
    // An entry: family, port of the service, name of the subsystem, address.
    const entries = [1024, 2048].map((at) => [
      bytes[at + 1],
      bytes.toString('latin1', at + 32, at + 64).trim(),
      bytes.toString('latin1', at + 256, at + 512).replace(/\0.*/s, ''),
      bytes.toString('latin1', at + 512, at + 768).trim(),
    ]);
    assert.equal(entries, [
      [1, '4421', rigNqn, '192.0.2.7'],
      [2, '4420', rigNqn, '2001:db8::7'],
    ]);
    queue.close('done');
  } finally {
    await rig.close();
  }
});

test('before a controller is enabled it does nothing but say what it can', async () => {
  const rig = await fabricRig();
  try {
    const queue = await adminQueue(rig, rigNqn);
    const [low] = await getProperty(queue, 0);
    assert.ok((low & 0xffff) > 0, 'CAP.MQES');
    let message = '';
    try {
      await identifyPage(queue, Cns.controller);
    } catch (error) {
      message = error instanceof Error ? error.message : '';
    }
    assert.match(message, /command sequence error/);
    await setProperty(queue, 0x14, 0x0046_0001);
    // What Linux looks at before it goes on: CNTLID, KAS, MAXCMD, SGLS, IOCCSZ, IORCSZ, ICDOFF.
    const bytes = Buffer.from((await identifyPage(queue, Cns.controller)).buffer);
    assert.ok(bytes.readUInt16LE(78) >= 1);
    assert.ok(bytes.readUInt16LE(320) > 0);
    assert.ok(bytes.readUInt16LE(514) > 0);
    assert.is.not(bytes.readUInt32LE(536) & 3, 0);
    assert.ok(bytes.readUInt32LE(1792) >= 4);
    assert.is(bytes.readUInt32LE(1796), 1);
    assert.is(bytes.readUInt16LE(1800), 0);
    assert.is(bytes.toString('latin1', 768, 768 + rigNqn.length), rigNqn);
    const unknown = await tryControl(queue, {
      what: 'a command that nobody knows',
      fill: (words) => Sqe.opc.set(words, 0, 0x70),
    });
    assert.is(statusKind(unknown.status), Status.invalidOpcode);
    // The error log has it: status in the upper 15 bits of the half word at byte 12.
    const errors = Buffer.from((await logPageOf(queue, 1, 64)).buffer);
    assert.is(statusKind(errors.readUInt16LE(12) >>> 1), Status.invalidOpcode);
    queue.close('done');
  } finally {
    await rig.close();
  }
});

/** Reservation Register, Acquire or Release with its keys. @returns the status */
async function reserve(
  queue: HostQueue,
  { opcode, dword10 = 0, keys }: { opcode: number; dword10?: number; keys: readonly bigint[] },
): Promise<number> {
  const { status } = await tryControl(queue, {
    what: 'a reservation command',
    send: new Uint8Array(BigUint64Array.from(keys).buffer),
    fill: (words) => {
      Sqe.opc.set(words, 0, opcode);
      Sqe.nsid.set(words, 0, 1);
      words[10] = dword10;
    },
  });
  return statusKind(status);
}

interface FeatureCommand {
  readonly opcode: number;
  readonly fid: number;
  readonly value?: number;
  readonly nsid?: number;
}

/** Set or Get Features, for namespace 1 when none is named. @returns status and dword 0 */
async function feature(
  queue: HostQueue,
  { opcode, fid, value = 0, nsid = 1 }: FeatureCommand,
): Promise<readonly [status: number, result: number]> {
  const { status, result } = await tryControl(queue, {
    what: 'a feature',
    fill: (words) => {
      Sqe.opc.set(words, 0, opcode);
      Sqe.nsid.set(words, 0, nsid);
      words[10] = fid;
      words[11] = value;
    },
  });
  return [statusKind(status), result];
}

test('a preempted host is told once by an event, and by the log; what it masks it is not told', async () => {
  const rig = await fabricRig({
    namespaces: [{ nsid: 1, device: new HeldDevice(), nguid: nguidOf(1), reservations: {} }],
  });
  try {
    const open = async (host: number) => {
      const { queue: admin, result: cntlid } = await connected(rig, { nqn: rigNqn, host });
      await setProperty(admin, 0x14, 0x0046_0001);
      const { queue } = await connected(rig, { nqn: rigNqn, host, cntlid });
      return { admin, queue };
    };
    const [a, b, nobody] = [await open(1), await open(2), await open(0)];
    const controller = Buffer.from((await identifyPage(a.admin, Cns.controller)).buffer);
    assert.is(controller.readUInt16LE(520) & (1 << 5), 1 << 5, 'ONCS: reservations');
    const namespace = Buffer.from((await identifyPage(a.admin, Cns.namespace, 1)).buffer);
    assert.is(namespace[31], 0xfe, 'RESCAP: all types, IEKEY of revision 1.3, no persistence');
    assert.is(await reserve(nobody.queue, { opcode: 0x0d, keys: [0n, 9n] }), Status.invalidField);
    const event = tryControl(a.admin, {
      what: 'an event',
      fill: (words) => Sqe.opc.set(words, 0, 0x0c),
    });
    for (const round of [1, 2]) {
      assert.is(await reserve(a.queue, { opcode: 0x0d, keys: [0n, 1n] }), 0);
      assert.is(await reserve(b.queue, { opcode: 0x0d, keys: [0n, 2n] }), 0);
      const preempt = { opcode: 0x11, dword10: 1 | (1 << 8), keys: [2n, 1n] };
      assert.is(await reserve(b.queue, preempt), 0, `round ${round}`);
      // The mask of registrations that were preempted.
      if (round === 1) {
        assert.equal(await feature(a.admin, { opcode: 9, fid: 0x82, value: 2 }), [0, 0]);
      }
    }
    assert.equal(await feature(a.admin, { opcode: 10, fid: 0x82 }), [0, 2]);
    // Type 6, I/O commands; information 0, the reservation log.
    assert.is((await event).result, 0x80_00_06);
    const log = Buffer.from((await logPageOf(a.admin, 0x80, 64)).buffer);
    assert.equal([log.readUInt32LE(0), log[8], log[9], log.readUInt32LE(12)], [1, 1, 0, 1]);
    assert.is((await logPageOf(a.admin, 0x80, 64))[2], 0, 'empty');
    // Persistence is not to be had here.
    const persist = { opcode: 9, fid: 0x83, value: 1 };
    assert.equal((await feature(a.admin, persist))[0], Status.invalidField);
    assert.equal(await feature(a.admin, { opcode: 10, fid: 0x83 }), [0, 0]);
    for (const { queue, admin } of [a, b, nobody])
      for (const each of [queue, admin]) each.close('');
  } finally {
    await rig.close();
  }
});

test('features of reservations are set of all namespaces that have any, and read of one', async () => {
  const all = 0xffff_ffff;
  const saved = { save: async () => {} };
  const reservations = [undefined, {}, saved, saved];
  const rig = await fabricRig({
    namespaces: reservations.map((each, i) => ({
      ...{ nsid: i + 1, device: new HeldDevice(), nguid: nguidOf(i + 1) },
      ...(each === undefined ? {} : { reservations: each }),
    })),
  });
  try {
    const { queue: admin } = await connected(rig, { nqn: rigNqn, host: 1 });
    await setProperty(admin, 0x14, 0x0046_0001);
    const read = (fid: number) =>
      Promise.all([1, 2, 3, 4].map((nsid) => feature(admin, { opcode: 10, fid, nsid })));
    const none = [Status.invalidField, 0];
    // [NVMe-2.0 §5.27.1] Reservation Notification Mask and Reservation Persistence.
    for (const [fid, value, expected] of [
      [0x82, 6, [none, [0, 6], [0, 6], [0, 6]]],
      [0x83, 1, [none, [0, 0], [0, 1], [0, 1]]],
      [0x83, 0, [none, [0, 0], [0, 0], [0, 0]]],
    ] as const) {
      assert.equal(await feature(admin, { opcode: 9, fid, value, nsid: all }), [0, 0]);
      assert.equal(await read(fid), expected);
      assert.equal(await feature(admin, { opcode: 10, fid, nsid: all }), none);
      assert.equal(await feature(admin, { opcode: 9, fid, value, nsid: 9 }), none);
    }
    admin.close('');
  } finally {
    await rig.close();
  }
});

test('what a host masks of a namespace is over when that is gone', async () => {
  const own = () => ({ nsid: 1, device: new HeldDevice(), nguid: nguidOf(1), reservations: {} });
  const rig = await fabricRig({ namespaces: [own()] });
  try {
    const { queue: admin } = await connected(rig, { nqn: rigNqn, host: 1 });
    await setProperty(admin, 0x14, 0x0046_0001);
    assert.equal(await feature(admin, { opcode: 9, fid: 0x82, value: 2 }), [0, 0]);
    const subsystem = rig.target.subsystem(rigNqn);
    await subsystem.removeNamespace(1);
    subsystem.addNamespace(own());
    assert.equal(await feature(admin, { opcode: 10, fid: 0x82 }), [0, 0]);
    admin.close('');
  } finally {
    await rig.close();
  }
});

test('what the target does not have it does not claim, and refuses by name', async () => {
  const rig = await fabricRig();
  try {
    const { queue: admin, result: cntlid } = await connected(rig, { nqn: rigNqn });
    await setProperty(admin, 0x14, 0x0046_0001);
    const controller = Buffer.from((await identifyPage(admin, Cns.controller)).buffer);
    assert.is(controller.readUInt16LE(520) & (1 << 5), 0, 'ONCS: reservations');
    assert.is(controller.readUInt16LE(522), 0, 'FUSES');
    const namespace = Buffer.from((await identifyPage(admin, Cns.namespace, 1)).buffer);
    assert.is(namespace[31], 0, 'RESCAP');
    assert.is(namespace[27], 0, 'MC: metadata');
    const { queue } = await connected(rig, { nqn: rigNqn, cntlid });
    const send = async (opcode: number, fuse: number, fill: number): Promise<number> => {
      const { status } = await tryControl(queue, {
        what: 'a command for I/O',
        send: new Uint8Array(512).fill(fill),
        fill: (words) => {
          Sqe.opc.set(words, 0, opcode);
          Sqe.fuse.set(words, 0, fuse);
          Sqe.nsid.set(words, 0, 1);
        },
      });
      return statusKind(status);
    };
    assert.is(await send(1, 0, 7), Status.success);
    // Compare and write, fused: neither half may be carried out alone.
    assert.is(await send(5, 1, 7), Status.invalidField);
    assert.is(await send(1, 2, 8), Status.invalidField);
    assert.is(await send(5, 0, 7), Status.success, 'the block is as it was');
    // Reservation Register, Acquire and Release; Report has data to the host.
    for (const opcode of [0x0d, 0x11, 0x15]) {
      assert.is(await send(opcode, 0, 0), Status.invalidOpcode, `${opcode}`);
    }
    const report = await tryControl(queue, {
      what: 'Reservation Report',
      receive: new Uint8Array(512),
      fill: (words) => {
        Sqe.opc.set(words, 0, 0x0e);
        Sqe.nsid.set(words, 0, 1);
      },
    });
    assert.is(statusKind(report.status), Status.invalidOpcode);
    for (const each of [queue, admin]) each.close('done');
  } finally {
    await rig.close();
  }
});

test.run();
