import * as assert from 'uvu/assert';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { BlockStatus } from '../../../sdk/block/request.js';
import type { NvmeTcpEvent } from '../../../sdk/fabric/initiator.js';
import type { VendorCommand } from '../../../sdk/fabric/subsystem.js';
import { type FabricRig, fabricRig, HeldDevice, nguidOf, until } from '../../support/fabric-rig.js';
import { suite } from '../../support/suite.js';
import { assertRejects } from '../cluster/contract.js';

const test = suite('sdk/fabric subsystems');
const nqn = 'nqn.2026-11.io.ultima:later';

function statement(title: string, run: (rig: FabricRig) => Promise<void>, ...options: Options) {
  test(title, async () => {
    const rig = await fabricRig(...options);
    try {
      await run(rig);
    } finally {
      await rig.close();
    }
  });
}

type Options = Parameters<typeof fabricRig>;
const block = new Uint8Array(512).fill(1);

statement(
  'a subsystem that comes later is served, and gone again when it is removed',
  async (rig) => {
    const namespaces = [{ nsid: 1, device: new HeldDevice(), nguid: nguidOf(2) }];
    await assertRejects(() => rig.connect({ nqn }), /nqn.2026-11.io.ultima:later|Connect/);
    rig.target.addSubsystem({ nqn, namespaces });
    assert.throws(() => rig.target.addSubsystem({ nqn }), /two subsystems named/);
    const events: NvmeTcpEvent[] = [];
    const host = await rig.connect({ nqn, onEvent: (event) => events.push(event) });
    await writeBlocks(host.namespace(1), 0, block);
    const other = await rig.connect();
    await rig.target.removeSubsystem(nqn);
    await until('the host is told', () => events.some(({ kind }) => kind === 'lost'));
    await assertRejects(() => rig.connect({ nqn }), /nqn.2026-11.io.ultima:later|Connect/);
    await writeBlocks(other.namespace(1), 0, block);
  },
);

statement('a subsystem goes when nothing of its hosts is inside a device', async (rig) => {
  const device = new HeldDevice();
  rig.target.addSubsystem({ nqn, namespaces: [{ nsid: 1, device, nguid: nguidOf(2) }] });
  const host = await rig.connect({ nqn });
  device.isHeld = true;
  const written = writeBlocks(host.namespace(1), 0, block).catch(() => {});
  await until('the write is inside', () => device.submitted === 1);
  let isGone = false;
  const removed = rig.target.removeSubsystem(nqn).then(() => {
    isGone = true;
  });
  await written;
  assert.is(isGone, false);
  device.isHeld = false;
  await removed;
});

const closed = {
  isClosedAtFirst: true,
  onVendorCommand: async ({ association }: VendorCommand) => {
    await association.refuse(0);
    return { status: 0 };
  },
};

async function closedOnes(rig: FabricRig): Promise<void> {
  const [host, other] = [await rig.connect(), await rig.connect()];
  const denied = await assertRejects(() => writeBlocks(host.namespace(1), 0, block), /status 4/);
  assert.is(denied?.facts.status, BlockStatus.accessDenied);
  await host.vendorCommand({ opcode: 0xc0 });
  await writeBlocks(host.namespace(1), 0, block);
  await assertRejects(() => writeBlocks(other.namespace(1), 0, block), /status 4/);
}

statement('a gate that is closed at first is opened for its association alone', closedOnes, closed);

test.run();
