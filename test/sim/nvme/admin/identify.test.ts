import * as assert from 'uvu/assert';
import { Identify } from '../../../../sdk/spec/nvme/admin-command.js';
import {
  Cns,
  GranularityList,
  NvmSetEntry,
  NvmSetList,
} from '../../../../sdk/spec/nvme/identify.js';
import { IdentifyController, PowerState } from '../../../../sdk/spec/nvme/identify-controller.js';
import {
  IdentifyNamespace,
  IdentifyNamespaceIndependent,
  LbaFormat,
} from '../../../../sdk/spec/nvme/identify-namespace.js';
import { AdminOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { GiB, MiB } from '../../../../sdk/units.js';
import { findProfile } from '../../../../sim/profiles/index.js';
import { suite } from '../../../support/suite.js';
import { AdminBench, type FieldValue } from './bench.js';

const test = suite('identify of the card');

const C = IdentifyController;
const N = IdentifyNamespace;

test('the controller is what its profile says', async () => {
  const bench = await AdminBench.open('ultima-g2');
  const page = await bench.identify(Cns.controller);
  const { identity, controller, subsystem } = findProfile('ultima-g2');
  assert.is(C.vid.get(page, 0), identity.vendorId);
  assert.is(C.sn.text(page, 0), identity.serialNumber);
  assert.is(C.mn.text(page, 0), identity.modelNumber);
  assert.is(C.fr.text(page, 0), identity.firmwareRevision);
  assert.is(2 ** C.mdts.get(page, 0) * 4096, controller.maxTransferBytes);
  assert.is(C.aerl.get(page, 0), controller.asyncEventLimit);
  assert.is(C.acl.get(page, 0), controller.abortLimit);
  assert.is(C.elpe.get(page, 0), controller.errorLogEntries);
  assert.is(C.frmwSlots.get(page, 0), controller.firmwareSlots);
  assert.is(C.nn.get(page, 0), subsystem.maxNamespaces);
  assert.is(C.tnvmcap.count(page, 0), BigInt(subsystem.capacityBytes));
  assert.is(C.vwcPresent.get(page, 0), 0);
});

test('power states fall in power, and their number is told', async () => {
  const bench = await AdminBench.open();
  const page = await bench.identify(Cns.controller);
  const count = C.npss.get(page, 0);
  const watts = Array.from({ length: count }, (_, i) => PowerState.mp.get(page, C.psd.at(0, i)));
  assert.ok(count > 1);
  assert.equal(
    watts,
    watts.toSorted((a, b) => b - a),
  );
  assert.ok(watts.every((value) => value > 0));
});

test('the formats of a namespace are those of the profile', async () => {
  const bench = await AdminBench.open();
  const page = await bench.identify(Cns.namespace, 1);
  const formats = findProfile('simple').lbaFormats;
  assert.is(N.nlbaf.get(page, 0), formats.length);
  for (const [i, format] of formats.entries()) {
    const at = N.lbaf.at(0, i);
    assert.is(2 ** LbaFormat.lbads.get(page, at), format.dataBytes);
    assert.is(LbaFormat.ms.get(page, at), format.metadataBytes);
  }
  assert.is(N.nsze.get(page, 0) * 512, 8 * GiB);
});

test('identifiers of all descriptors agree with the namespace structure', async () => {
  const bench = await AdminBench.open();
  const page = await bench.identify(Cns.namespace, 1);
  const list = new Uint8Array((await bench.identify(Cns.namespaceDescriptors, 1)).buffer);
  assert.equal([...list.subarray(0, 4)], [1, 8, 0, 0]);
  assert.equal([...list.subarray(4, 12)], [...N.eui64.bytes(page, 0)]);
  assert.equal([...list.subarray(12, 16)], [2, 16, 0, 0]);
  assert.equal([...list.subarray(16, 32)], [...N.nguid.bytes(page, 0)]);
  assert.equal([...list.subarray(32, 36)], [3, 16, 0, 0]);
  assert.equal([...list.subarray(52, 58)], [4, 1, 0, 0, 0, 0]);
});

test('NVM sets, granularity and endurance groups describe the one pool', async () => {
  const bench = await AdminBench.open();
  const sets = await bench.identify(Cns.nvmSets);
  const at = NvmSetList.entries.at(0, 0);
  assert.is(NvmSetList.count.get(sets, 0), 1);
  assert.is(NvmSetEntry.tnvmsetcap.count(sets, at), BigInt(64 * GiB));
  assert.is(NvmSetEntry.unvmsetcap.count(sets, at), BigInt(56 * GiB));
  const after = await bench.identify(Cns.nvmSets, 0, [[Identify.cnssid, 2]]);
  assert.is(NvmSetList.count.get(after, 0), 0);
  const granularity = await bench.identify(Cns.namespaceGranularity);
  const entry = GranularityList.entries.at(0, 0);
  assert.is(GranularityList.entries.item.nszeg.get(granularity, entry), 1 * MiB);
  const groups = await bench.identify(Cns.enduranceGroups);
  assert.is(groups[0], 0x0001_0001);
  assert.ok((await bench.identify(Cns.uuids)).every((word) => word === 0));
});

test('structures of another command set are refused, those of NVM are not', async () => {
  const bench = await AdminBench.open();
  const ofSet = [
    Cns.namespaceOfCommandSet,
    Cns.controllerOfCommandSet,
    Cns.activeNamespacesOfCommandSet,
    Cns.namespaceOfFormat,
    Cns.namespaceOfFormatAndSet,
    Cns.allocatedNamespacesOfCommandSet,
    Cns.allocatedNamespaceOfCommandSet,
  ];
  for (const cns of ofSet) {
    for (const [csi, status] of [
      [0, 0],
      [2, Status.invalidCommandSet],
    ] as const) {
      const fields: FieldValue[] = [
        [Identify.cns, cns],
        [Identify.csi, csi],
      ];
      const request = { opcode: AdminOpcode.identify, nsid: 1, fields, data: bench.page };
      assert.is((await bench.run(request)).status, status, `CNS ${cns} CSI ${csi}`);
    }
  }
});

test('a format that does not exist has no capabilities', async () => {
  const bench = await AdminBench.open();
  const fields: FieldValue[] = [
    [Identify.cns, Cns.namespaceOfFormat],
    [Identify.cnssid, 5],
  ];
  const request = { opcode: AdminOpcode.identify, fields, data: bench.page };
  assert.is((await bench.run(request)).status, Status.invalidField);
});

test('the independent structure repeats what the namespace structure says', async () => {
  const bench = await AdminBench.open();
  const page = await bench.identify(Cns.namespace, 1);
  const independent = await bench.identify(Cns.namespaceIndependent, 1);
  const I = IdentifyNamespaceIndependent;
  assert.is(I.nmicShared.get(independent, 0), N.nmicShared.get(page, 0));
  assert.is(I.anagrpid.get(independent, 0), N.anagrpid.get(page, 0));
  assert.is(I.rescap.get(independent, 0), 0xff);
  assert.is(I.nstatReady.get(independent, 0), 1);
});

test('the command sets of the card are NVM alone, of any of its controllers', async () => {
  const bench = await AdminBench.open();
  const own = await bench.identify(Cns.commandSets, 0, [[Identify.cntid, 0xffff]]);
  assert.equal([...own.subarray(0, 3)], [1, 0, 0]);
  const fields: FieldValue[] = [
    [Identify.cns, Cns.commandSets],
    [Identify.cntid, 77],
  ];
  const request = { opcode: AdminOpcode.identify, fields, data: bench.page };
  assert.is((await bench.run(request)).status, Status.invalidField);
});

test('an unknown structure is refused with its field in the error log', async () => {
  const bench = await AdminBench.open();
  const fields: FieldValue[] = [[Identify.cns, 0x7f]];
  const outcome = await bench.run({ opcode: AdminOpcode.identify, fields, data: bench.page });
  assert.is(outcome.status, Status.invalidField);
  assert.equal([(await bench.lastError()).byte, (await bench.lastError()).bit], [40, 0]);
});

test('a card without namespace management has no lists of allocated namespaces', async () => {
  const bench = await AdminBench.open('simple?subsystem.hasNamespaceManagement=false');
  for (const cns of [Cns.allocatedNamespaces, Cns.allocatedNamespace, Cns.controllers]) {
    const fields: FieldValue[] = [[Identify.cns, cns]];
    const request = { opcode: AdminOpcode.identify, nsid: 1, fields, data: bench.page };
    assert.is((await bench.run(request)).status, Status.invalidField);
  }
  const create = await bench.run({ opcode: AdminOpcode.namespaceManagement, data: bench.page });
  assert.is(create.status, Status.invalidOpcode);
});

test.run();
