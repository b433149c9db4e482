import * as assert from 'uvu/assert';
import {
  discardBlocks,
  flushBlocks,
  readBlocks,
  writeBlocks,
} from '../../../sdk/block/promised.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { NvmeTcp, type NvmeTcpEvent } from '../../../sdk/fabric/initiator.js';
import type { RemoteNamespace } from '../../../sdk/fabric/remote-namespace.js';
import type { VendorCommand } from '../../../sdk/fabric/subsystem.js';
import { PduType } from '../../../sdk/spec/fabrics/pdu.js';
import { AnaState } from '../../../sdk/spec/nvme/logs.js';
import { doNotRetry, Status, statusKind } from '../../../sdk/spec/nvme/status.js';
import { TestPrng } from '../../../sdk/testing/prng.js';
import {
  type FabricRig,
  fabricRig,
  HeldDevice,
  nguidOf,
  rigClock,
  rigNqn,
  until,
} from '../../support/fabric-rig.js';
import { suite } from '../../support/suite.js';
import { WireSockets } from '../../support/wire-sockets.js';

const test = suite('sdk/fabric');

async function withRig(
  run: (rig: FabricRig) => Promise<void>,
  ...options: Parameters<typeof fabricRig>
): Promise<void> {
  const rig = await fabricRig(...options);
  try {
    await run(rig);
  } finally {
    await rig.close();
  }
}

/** Submit and poll until it has ended. */
async function ended(device: RemoteNamespace, request: BlockRequest): Promise<BlockStatus> {
  let isOver = false;
  request.done = () => {
    isOver = true;
  };
  device.submit(request);
  await until('a request ends', () => {
    device.poll();
    return isOver;
  });
  return request.status;
}

function writeRequest(device: RemoteNamespace, lba: number, value: number): BlockRequest {
  const region = device.memory.allocate(device.blockBytes);
  region.bytes.fill(value);
  const request = new BlockRequest(() => {});
  request.op = BlockOp.write;
  request.lba = lba;
  request.blockCount = 1;
  request.setData(region, 0, device.blockBytes);
  return request;
}

for (const digests of [false, true]) {
  test(`what is written is read, ${digests ? 'with' : 'without'} digests, in every size`, () =>
    withRig(async (rig) => {
      const host = await rig.connect({ headerDigest: digests, dataDigest: digests, queues: 2 });
      const device = host.namespace(1);
      const model = new Uint8Array(4096 * 512);
      const random = new TestPrng(2026);
      console.log('seed 2026');
      for (let i = 0; i < 60; i++) {
        const count = 1 + random.below(i % 3 === 0 ? 2000 : 20);
        const lba = random.below(4096 - count);
        const place = model.subarray(lba * 512, (lba + count) * 512);
        const kind = random.below(10);
        if (kind < 5) {
          for (let at = 0; at < place.length; at++) place[at] = random.below(256);
          await writeBlocks(device, lba, place, kind === 0);
        } else if (kind === 5) {
          await discardBlocks(device, { lba, blockCount: count });
          place.fill(0);
        } else if (kind === 6) await flushBlocks(device);
        else {
          const found = new Uint8Array(place.length);
          await readBlocks(device, lba, found);
          assert.equal(Buffer.compare(found, place), 0, `blocks ${lba} + ${count}`);
        }
      }
      assert.is(rig.target.status.violations, 0);
    }));
}

test('a transfer in many pieces of memory lies in their order', () =>
  withRig(async (rig) => {
    const device = (await rig.connect()).namespace(1);
    const all = Uint8Array.from({ length: 64 * 512 }, (_, i) => (i * 31) >> 3);
    await writeBlocks(device, 0, all);
    const regions = [100, 1000, 64 * 512 - 1100].map((size) => device.memory.allocate(size + 8));
    const request = new BlockRequest(() => {});
    request.blockCount = 64;
    for (const region of regions) request.addSegment(region, 8, region.length - 8);
    assert.is(await ended(device, request), BlockStatus.ok);
    const found = Buffer.concat(regions.map(({ bytes }) => bytes.subarray(8)));
    assert.is(Buffer.compare(found, all), 0);
    request.op = BlockOp.write;
    request.lba = 100;
    assert.is(await ended(device, request), BlockStatus.ok);
    const again = new Uint8Array(all.length);
    await readBlocks(device, 100, again);
    assert.is(Buffer.compare(again, all), 0);
  }));

test('a request whose connection is lost is unknown, and one after it was not executed', () =>
  withRig(async (rig) => {
    const device = (await rig.connect()).namespace(1);
    rig.device.isHeld = true;
    const request = writeRequest(device, 5, 1);
    let isOver = false;
    request.done = () => {
      isOver = true;
    };
    device.submit(request);
    device.poll();
    await until('the write is with the device', () => rig.device.submitted === 1);
    rig.target.dropConnections();
    await until('it ends', () => {
      device.poll();
      return isOver;
    });
    assert.is(request.status, BlockStatus.unknown);
    assert.is(await ended(device, request), BlockStatus.notExecuted);
  }));

test('a host that comes back is let in only when its late writes have ended', () =>
  withRig(async (rig) => {
    const hostId = nguidOf(9);
    const first = (await rig.connect({ hostId })).namespace(1);
    rig.device.isHeld = true;
    first.submit(writeRequest(first, 7, 0xaa));
    first.poll();
    await until('the write is with the device', () => rig.device.submitted === 1);
    rig.target.dropConnections();
    let isIn = false;
    const coming = rig.connect({ hostId }).then((host) => {
      isIn = true;
      return host;
    });
    // Another host is not held up, so that there was time enough for the first one as well.
    const other = await rig.connect();
    assert.is(other.namespace(1).nsid, 1);
    assert.is(isIn, false);
    rig.device.isHeld = false;
    const second = (await coming).namespace(1);
    await writeBlocks(second, 7, new Uint8Array(512).fill(0xbb));
    const found = new Uint8Array(512);
    await readBlocks(second, 7, found);
    assert.is(found[0], 0xbb);
  }));

test('a host that connects anew over the same path ends what it had there', () =>
  withRig(async (rig) => {
    const events: NvmeTcpEvent[] = [];
    const hostId = nguidOf(9);
    await rig.connect({ hostId, onEvent: (event) => events.push(event) });
    await rig.connect({ hostId });
    await until('the first is told', () => events.some(({ kind }) => kind === 'lost'));
    assert.is(rig.target.status.associations, 1);
  }));

test('an association comes back by itself, with the same namespace objects', () =>
  withRig(async (rig) => {
    const events: string[] = [];
    const host = await rig.connect({
      reconnectMs: 5000,
      onEvent: ({ kind }) => events.push(kind),
    });
    const device = host.namespace(1);
    await writeBlocks(device, 3, new Uint8Array(512).fill(3));
    rig.target.dropConnections();
    await until('it is back', () => events.includes('reconnected'));
    assert.is(host.namespace(1), device);
    const found = new Uint8Array(512);
    await readBlocks(device, 3, found);
    assert.is(found[0], 3);
    assert.equal(events, ['lost', 'reconnected']);
  }));

test('a connection that is lost while a queue is connected ends the attempt', async () => {
  const wire = new WireSockets();
  const rig = await fabricRig({}, { sockets: wire, listen: ['wire:1'] });
  try {
    // The first command of the second queue, which is its Connect, never arrives.
    let queues = 0;
    let dropped = 0;
    wire.meddler = (pdu, isToTarget) => {
      if (isToTarget && pdu[0] === PduType.icReq) queues++;
      const isIt = isToTarget && queues === 2 && pdu[0] === PduType.capsuleCmd;
      if (isIt) dropped++;
      return isIt ? [] : [pdu];
    };
    let outcome = '';
    const attempt = NvmeTcp.connect({
      address: 'wire:1',
      nqn: rigNqn,
      clock: rigClock,
      sockets: wire,
      reconnectMs: 0,
    }).then(
      () => {
        outcome = 'connected';
      },
      (error: unknown) => {
        outcome = String(error);
      },
    );
    await until('the second queue is being connected', () => {
      wire.pump();
      return dropped === 1;
    });
    rig.target.dropConnections();
    await until('the attempt has ended', () => {
      wire.pump();
      return outcome !== '';
    });
    await attempt;
    assert.match(outcome, /lost/);
  } finally {
    await rig.close();
  }
});

test('a closed gate refuses by its status, after what came before has ended', () => {
  let last: VendorCommand | null = null;
  const onVendorCommand = async (command: VendorCommand) => {
    last = command;
    return { status: 0, result: 77, data: Uint8Array.of(...command.data, 5, 6) };
  };
  return withRig(
    async (rig) => {
      const host = await rig.connect({ hostNqn: 'nqn.2026-11.io.ultima:me' });
      const device = host.namespace(1);
      const send = Uint8Array.of(1, 2, 3);
      const sent = await host.vendorCommand({ opcode: 0xc1, nsid: 1, dwords: [9, 8], send });
      assert.is(sent.result, 77);
      const command = last!;
      assert.equal([...command.data], [1, 2, 3]);
      assert.equal(command.dwords.slice(0, 3), [9, 8, 0]);
      assert.is(command.host.hostNqn, 'nqn.2026-11.io.ultima:me');
      const receive = new Uint8Array(8);
      await host.vendorCommand({ opcode: 0xc2, receive });
      assert.equal([...receive], [5, 6, 0, 0, 0, 0, 0, 0]);
      rig.device.isHeld = true;
      device.submit(writeRequest(device, 1, 1));
      device.poll();
      await until('the write is with the device', () => rig.device.submitted === 1);
      let isFenced = false;
      const fenced = command.association.refuse(doNotRetry(Status.accessDenied)).then(() => {
        isFenced = true;
      });
      const refused = writeRequest(device, 2, 2);
      assert.is(await ended(device, refused), BlockStatus.accessDenied);
      assert.is(isFenced, false);
      rig.device.isHeld = false;
      // Nobody has told the target that its device goes on.
      await until('the gate is closed', () => {
        device.poll();
        return isFenced;
      });
      await fenced;
      assert.is(rig.device.submitted, 1);
      void command.association.refuse(0);
      assert.is(await ended(device, refused), BlockStatus.ok);
    },
    { onVendorCommand },
  );
});

test('a vendor command without a handler is an invalid opcode', () =>
  withRig(async (rig) => {
    const { status } = await (await rig.connect()).vendorCommand({ opcode: 0xc0 });
    assert.is(statusKind(status), Status.invalidOpcode);
  }));

test('a path that becomes inaccessible fails by name, without sending', () =>
  withRig(async (rig) => {
    const events: string[] = [];
    const host = await rig.connect({ onEvent: ({ kind }) => events.push(kind) });
    const device = host.namespace(1);
    const subsystem = rig.target.subsystem(rigNqn);
    subsystem.setAnaState(1, AnaState.inaccessible);
    const early = writeRequest(device, 1, 1);
    assert.is(await ended(device, early), BlockStatus.notExecuted);
    assert.is(early.detail, Status.asymmetricAccessInaccessible);
    await until('we are told', () => events.includes('ana'));
    assert.is(device.anaState, AnaState.inaccessible);
    assert.is(await ended(device, early), BlockStatus.notExecuted);
    assert.is(rig.device.submitted, 0);
    subsystem.setAnaState(1, AnaState.nonOptimized);
    await until('we are told again', () => device.anaState === AnaState.nonOptimized);
    assert.is(await ended(device, early), BlockStatus.ok);
  }));

test('namespaces appear, grow and go while a host looks on', () =>
  withRig(async (rig) => {
    const host = await rig.connect();
    const subsystem = rig.target.subsystem(rigNqn);
    const second = new HeldDevice(100, 4096);
    subsystem.addNamespace({ nsid: 5, device: second, nguid: nguidOf(5) });
    await until('it is seen', () => host.namespaces.has(5));
    const device = host.namespace(5);
    assert.is(device.blockCount, 100);
    Object.assign(second, { blockCount: 300 });
    await until('its growth is seen', () => device.blockCount === 300);
    await writeBlocks(device, 299, new Uint8Array(4096).fill(1));
    await subsystem.removeNamespace(5);
    await until('it is gone', () => device.isGone);
    assert.is(await ended(device, writeRequest(device, 0, 1)), BlockStatus.notExecuted);
    await readBlocks(host.namespace(1), 0, new Uint8Array(512));
  }));

test('a read-only namespace and blocks beyond the end are refused by name', () =>
  withRig(
    async (rig) => {
      const device = (await rig.connect()).namespace(1);
      assert.is(await ended(device, writeRequest(device, 0, 1)), BlockStatus.accessDenied);
      // Its device has shrunk behind our back.
      device.blockCount += 10;
      const request = writeRequest(device, device.blockCount - 1, 1);
      request.op = BlockOp.read;
      assert.is(await ended(device, request), BlockStatus.invalidRequest);
      assert.is(request.detail, Status.lbaOutOfRange);
    },
    { namespaces: [{ nsid: 1, device: new HeldDevice(), nguid: nguidOf(1), isReadOnly: true }] },
  ));

test('zeroes over more blocks than one command can name are all written', () => {
  const big = new HeldDevice(200_000);
  return withRig(
    async (rig) => {
      const device = (await rig.connect()).namespace(1);
      await writeBlocks(device, 140_000, new Uint8Array(512).fill(1));
      const request = new BlockRequest(() => {});
      request.op = BlockOp.writeZeroes;
      request.blockCount = 150_000;
      assert.is(await ended(device, request), BlockStatus.ok);
      const found = new Uint8Array(512).fill(9);
      await readBlocks(device, 140_000, found);
      assert.is(found[0], 0);
    },
    { namespaces: [{ nsid: 1, device: big, nguid: nguidOf(1) }] },
  );
});

test.run();
