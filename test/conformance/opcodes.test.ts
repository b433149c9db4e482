import * as assert from 'uvu/assert';
import { Fuse, Sqe } from '../../sdk/spec/nvme/command.js';
import { Nsid } from '../../sdk/spec/nvme/identify.js';
import { IdentifyController as Id } from '../../sdk/spec/nvme/identify-controller.js';
import { AdminOpcode, NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { poison } from '../../sdk/testing/buffer.js';
import { activeNamespaces } from '../../sdk/testing/namespace.js';
import { statements } from './statement.js';

const statement = statements('opcodes and namespace identifiers');

const hex = (value: number): string => `${value.toString(16).toUpperCase().padStart(2, '0')}h`;

/** Opcodes that no revision gives to a command of the admin set over PCIe. */
for (const opcode of [0x03, 0x07, 0x0b, 0x0f, 0x12, 0x16, 0x1b, 0x1f, 0x7f, 0x8f]) {
  statement(
    `admin opcode ${hex(opcode)} is invalid`,
    '[NVMe-2.0 §5 Figure: opcodes for admin commands]',
    async (rig) => {
      const data = rig.buffer(4096);
      rig.refused(await rig.admin(rig.command(opcode, 0, data)), Status.invalidOpcode);
      assert.ok(data.holds(poison), 'an invalid command moves no data');
    },
  );
}

for (const opcode of [0x03, 0x06, 0x07, 0x0a, 0x0b, 0x0f, 0x10, 0x1f, 0x7f]) {
  statement(
    `I/O opcode ${hex(opcode)} is invalid`,
    '[NVM-1.0 §3 Figure: opcodes for NVM commands]',
    async (rig) => {
      const ns = await rig.namespace();
      const pair = await rig.queuePair({ entries: 8 });
      const data = rig.buffer(4096);
      rig.refused(await pair.run(rig.command(opcode, ns.nsid, data)), Status.invalidOpcode);
      assert.ok(data.holds(poison), 'an invalid command moves no data');
    },
  );
}

/** Optional commands answer with Invalid Command Opcode where they are not announced. */
const optional = [
  ['security receive', AdminOpcode.securityReceive, Id.oacsSecurity],
  ['format', AdminOpcode.formatNvm, Id.oacsFormat],
  ['firmware commit', AdminOpcode.firmwareCommit, Id.oacsFirmware],
  ['namespace management', AdminOpcode.namespaceManagement, Id.oacsNamespace],
  ['device self-test', AdminOpcode.deviceSelfTest, Id.oacsSelfTest],
  ['directive receive', AdminOpcode.directiveReceive, Id.oacsDirectives],
  ['virtualization management', AdminOpcode.virtualizationManagement, Id.oacsVirtualization],
  ['doorbell buffer config', AdminOpcode.doorbellBufferConfig, Id.oacsDbbuf],
  ['get LBA status', AdminOpcode.getLbaStatus, Id.oacsLbaStatus],
  ['lockdown', AdminOpcode.lockdown, Id.oacsLockdown],
  ['NVMe-MI receive', AdminOpcode.managementReceive, Id.oacsMi],
] as const;

for (const [name, opcode, field] of optional) {
  statement(
    `${name} is a known opcode exactly where OACS announces it`,
    '[NVMe-2.0 §5.17.2.1 OACS]',
    async (rig) => {
      const isOffered = (await rig.id(field)) === 1;
      // Reserved values everywhere: a known command refuses its fields, and nothing happens.
      const command = rig.command(opcode, Nsid.lastUsable).set(Sqe.cdw10, 0xffff_ffff);
      const { status } = await rig.admin(command);
      const isKnown = (status & 0x7ff) !== Status.invalidOpcode;
      assert.is(isKnown, isOffered);
    },
  );
}

for (const [name, opcode, field] of [
  ['compare', NvmOpcode.compare, Id.oncsCompare],
  ['write uncorrectable', NvmOpcode.writeUncorrectable, Id.oncsWriteUncorrectable],
  ['dataset management', NvmOpcode.datasetManagement, Id.oncsDatasetManagement],
  ['write zeroes', NvmOpcode.writeZeroes, Id.oncsWriteZeroes],
  ['copy', NvmOpcode.copy, Id.oncsCopy],
  ['reservation report', NvmOpcode.reservationReport, Id.oncsReservations],
] as const) {
  statement(
    `${name} is a known opcode exactly where ONCS announces it`,
    '[NVMe-2.0 §5.17.2.1 ONCS]',
    async (rig) => {
      const isOffered = (await rig.id(field)) === 1;
      const pair = await rig.queuePair({ entries: 8 });
      const command = rig.command(opcode, Nsid.lastUsable, rig.buffer(4096));
      const { status } = await pair.run(command);
      const kind = status & 0x7ff;
      if (isOffered) assert.is.not(kind, Status.invalidOpcode);
      else
        rig.refused(
          { ...(await pair.run(command)) },
          Status.invalidOpcode,
          Status.invalidNamespaceOrFormat,
        );
    },
  );
}

for (const [name, opcode] of [
  ['read', NvmOpcode.read],
  ['write', NvmOpcode.write],
] as const) {
  for (const nsid of [Nsid.none, Nsid.broadcast, Nsid.lastUsable]) {
    statement(
      `a ${name} of namespace ${hex(nsid)} is refused`,
      '[NVMe-2.0 §3.2.1 NSID]',
      async (rig) => {
        const ns = await rig.namespace();
        const pair = await rig.queuePair({ entries: 8 });
        const data = ns.buffer(1);
        const completion = await pair.run(ns.blocks(opcode, { lba: 0 }, data).set(Sqe.nsid, nsid));
        rig.refused(completion, Status.invalidNamespaceOrFormat, Status.invalidField);
        assert.ok(data.holds(poison));
      },
    );
  }

  statement(
    `a ${name} of an inactive namespace is refused`,
    '[NVMe-2.0 §3.2.1.5 NSID]',
    async (rig) => {
      const ns = await rig.namespace();
      const active = await activeNamespaces(rig);
      const limit = await rig.id(Id.nn);
      const nsid = Array.from({ length: limit }, (_, i) => i + 1).find(
        (id) => !active.includes(id),
      );
      rig.needs(nsid !== undefined, 'an inactive namespace identifier');
      const pair = await rig.queuePair({ entries: 8 });
      const command = ns.blocks(opcode, { lba: 0 }, ns.buffer(1)).set(Sqe.nsid, nsid ?? 0);
      rig.refused(await pair.run(command), Status.invalidField, Status.invalidNamespaceOrFormat);
    },
  );
}

statement(
  'an I/O opcode on the admin queue is not an I/O command',
  '[NVMe-2.0 §3.3.3.1 OPC]',
  async (rig) => {
    // 0Ch is Asynchronous Event Request there and Verify here; 19h is Directive Send and Copy.
    const ns = await rig.namespace();
    const pair = await rig.queuePair({ entries: 8 });
    const command = rig.command(AdminOpcode.identify, ns.nsid, rig.buffer(4096));
    rig.refused(await pair.run(command), Status.invalidOpcode);
  },
);

statement('a fused value of 11b is refused', '[NVMe-2.0 §3.3.3.1 FUSE]', async (rig) => {
  const ns = await rig.namespace();
  const pair = await rig.queuePair({ entries: 8 });
  const command = ns.read({ lba: 0 }, ns.buffer(1)).set(Sqe.fuse, 3);
  rig.refused(await pair.run(command), Status.invalidField);
});

statement(
  'a fused command is refused where fused commands are not supported',
  '[NVMe-2.0 §3.3.3.1 FUSE]',
  async (rig) => {
    rig.needs((await rig.id(Id.fuses)) === 0, 'absence of fused commands');
    const ns = await rig.namespace();
    const pair = await rig.queuePair({ entries: 8 });
    const command = ns.read({ lba: 0 }, ns.buffer(1)).set(Sqe.fuse, Fuse.first);
    rig.refused(await pair.run(command), Status.invalidField);
  },
);

statement('a reserved PSDT is refused', '[NVMe-2.0 §3.3.3.1 PSDT]', async (rig) => {
  const ns = await rig.namespace();
  const pair = await rig.queuePair({ entries: 8 });
  const command = ns.read({ lba: 0 }, ns.buffer(1)).set(Sqe.psdt, 3);
  rig.refused(await pair.run(command), Status.invalidField);
});

statement('a refused command says Do Not Retry', '[NVMe-2.0 §3.3.3.2.1 DNR]', async (rig) => {
  const ns = await rig.namespace();
  const pair = await rig.queuePair({ entries: 8 });
  const { status } = await pair.run(ns.read({ lba: ns.blockCount }, ns.buffer(1)));
  assert.ok((status & 0x4000) !== 0);
});

statement.run();
