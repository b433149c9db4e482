import * as assert from 'uvu/assert';
import { SetFeatures } from '../../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../../sdk/spec/nvme/command.js';
import { Feature } from '../../../../sdk/spec/nvme/features.js';
import { AdminOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Csts } from '../../../../sdk/spec/nvme/registers.js';
import { Prng } from '../../../../sim/prng.js';
import { suite } from '../../../support/suite.js';
import { AdminBench, pageBytes } from './bench.js';

const test = suite('any admin command');

const opcodes = Object.values(AdminOpcode).filter(
  (opcode) => opcode !== AdminOpcode.asynchronousEventRequest,
);

/** Mostly small numbers: those reach further than random dwords. */
function anyDword(chance: Prng): number {
  const kind = chance.below(4);
  if (kind === 0) return 0;
  if (kind === 1) return chance.below(16);
  if (kind === 2) return chance.below(16) + chance.below(16) * 256 + chance.below(4) * 0x1_0000;
  return chance.word();
}

for (const seed of [1, 2, 3]) {
  test(`1500 random commands all end and the controller lives (seed ${seed})`, async () => {
    const bench = await AdminBench.open();
    const chance = new Prng(seed, 'admin fuzz');
    const data = bench.buffer(4 * pageBytes);
    for (let i = 0; i < 1500; i++) {
      if (chance.below(8) === 0) for (let k = 0; k < 64; k++) data.words[k] = anyDword(chance);
      const opcode =
        chance.below(50) === 0 ? chance.below(256) : opcodes[chance.below(opcodes.length)]!;
      if (opcode === AdminOpcode.asynchronousEventRequest) continue;
      const nsid = chance.below(3) === 0 ? anyDword(chance) : chance.below(3);
      const command = bench.commandOf({ opcode, nsid, data });
      for (let dword = 10; dword < 16; dword++) command.words[dword] = anyDword(chance);
      if (chance.below(20) === 0) command.set(Sqe.prp1, chance.word());
      // A timer that ends the controller is what the host asked for.
      const isTimer = SetFeatures.fid.get(command.words, 0) === Feature.keepAlive;
      if (opcode === AdminOpcode.setFeatures && isTimer) continue;
      await bench.raw.admin(command);
    }
    assert.is(Csts.cfs.of(bench.raw.read('csts')), 0);
    await bench.identify(1);
    let bytes = 0;
    const { subsystem } = bench.card;
    for (const namespace of subsystem.namespaces) bytes += subsystem.allocatedBytes(namespace);
    const { capacityBytes } = subsystem.profile.subsystem;
    assert.is(bytes + subsystem.unallocatedBytes, capacityBytes);
    assert.ok(subsystem.unallocatedBytes >= 0);
  });
}

test.run();
