import * as assert from 'uvu/assert';
import { BlockRequest } from '../../sdk/block/request.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import type { SimCard } from '../../sim/card.js';
import { openSimulated } from '../../sim/open.js';
import { suite } from '../support/suite.js';

/**
 * A reset from outside while reads are under way. What always holds: nothing of before the reset
 * writes to the host's memory or interrupts it afterwards, and a new driver finds a card that
 * works.
 */
const test = suite('resets of a card');
const csts = 0x1c;
const cc = 0x14;
const nssr = 0x20;
const nssrKey = 0x4e564d65;
const requestCount = 16;

interface Busy {
  readonly card: SimCard;
  readonly controller: NvmeController;
  readonly data: Uint8Array;
}

/** A card with sixteen reads in flight, the data of which is all 0xee until it arrives. */
async function busyCard(): Promise<Busy> {
  const card = openSimulated('sim:simple?bytes=1MiB&lbaFormat=2&controller.virtualFunctions=0');
  const controller = await NvmeController.open(card.open());
  const namespace = await controller.namespace(1);
  const region = namespace.memory.allocate(requestCount * 4096);
  region.bytes.fill(0xee);
  for (let i = 0; i < requestCount; i++) {
    const request = new BlockRequest(() => {});
    request.lba = i;
    request.blockCount = 1;
    request.setData(region, i * 4096, 4096);
    namespace.submit(request);
  }
  namespace.poll();
  return { card, controller, data: region.bytes };
}

const arrived = (data: Uint8Array): number => {
  let count = 0;
  for (let i = 0; i < requestCount; i++) if (data[i * 4096] !== 0xee) count++;
  return count;
};

const kinds: Readonly<Record<string, (card: SimCard) => void>> = {
  'function-level reset': (card) => card.function.startReset('function'),
  'bus reset': (card) => card.busReset(),
  'subsystem reset': (card) => card.function.bar(0).write32(nssr, nssrKey),
  'controller reset': (card) => card.function.bar(0).write32(cc, 0),
  'link loss': (card) => {
    card.linkDown();
    card.linkUp();
  },
};

for (const [kind, strike] of Object.entries(kinds)) {
  test(`a ${kind} stops all DMA at every moment of sixteen reads`, async () => {
    let before = 0;
    let after = 0;
    for (let delayNs = 0; delayNs < 30_000; delayNs += 1_500) {
      const { card, controller, data } = await busyCard();
      card.world.advance(delayNs);
      strike(card);
      card.world.advance(card.function.postedNs);
      const count = arrived(data);
      card.world.advance(200_000_000);
      assert.is(arrived(data), count, `${delayNs} ns`);
      assert.is(card.function.bar(0).read32(csts) & 0xf, 0, 'RDY, CFS and SHST');
      if (count < requestCount) before++;
      else after++;
      await controller.close();
      const again = await NvmeController.open(card.open());
      await (await again.namespace(1)).read(0, new Uint8Array(4096));
      await again.close();
    }
    assert.ok(before > 0, 'no moment was early enough');
    assert.ok(after > 0, 'no moment was late enough');
  });
}

test('a subsystem reset is told by CSTS.NSSRO and clears when it is written', async () => {
  const { card, controller } = await busyCard();
  const bar = card.function.bar(0);
  bar.write32(nssr, 0x12345678);
  assert.is(bar.read32(csts) & 0x10, 0, 'any other value does nothing');
  bar.write32(nssr, nssrKey);
  assert.is(bar.read32(csts) & 0x10, 0x10);
  bar.write32(csts, 0x10);
  assert.is(bar.read32(csts) & 0x10, 0);
  await controller.close();
});

test.run();
