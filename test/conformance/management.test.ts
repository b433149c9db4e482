import * as assert from 'uvu/assert';
import {
  FormatNvm,
  NamespaceAttachment,
  NamespaceAttachmentSelect,
  NamespaceManagement,
  NamespaceManagementSelect,
} from '../../sdk/spec/nvme/admin-command.js';
import { AsyncEventResult } from '../../sdk/spec/nvme/completion.js';
import { Feature } from '../../sdk/spec/nvme/features.js';
import { Cns, ControllerList, Nsid } from '../../sdk/spec/nvme/identify.js';
import { IdentifyController as Id } from '../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../../sdk/spec/nvme/identify-namespace.js';
import { LogPage } from '../../sdk/spec/nvme/logs.js';
import { AdminOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status, statusKind } from '../../sdk/spec/nvme/status.js';
import { activeNamespaces, namespaceList } from '../../sdk/testing/namespace.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { secondNs } from '../../sdk/units.js';
import { bench, blocksOf, write } from './io-bench.js';
import { statements } from './statement.js';

const statement = statements('format and namespace management');

const formatCite = '[NVMe-2.0 §5.14 Format NVM]';
const manageCite = '[NVMe-2.0 §5.23 Namespace Management]';
const attachCite = '[NVMe-2.0 §5.22 Namespace Attachment]';

const limitNs = 600 * secondNs;

async function canFormat(rig: Rig): Promise<void> {
  rig.needs((await rig.id(Id.oacsFormat)) === 1, 'format');
}

async function canManage(rig: Rig): Promise<void> {
  rig.needs((await rig.id(Id.oacsNamespace)) === 1, 'namespace management');
  // Some announce the pair of commands and have only attachment.
  const probe = rig
    .command(AdminOpcode.namespaceManagement, 0, rig.buffer(4096, { kind: 'zeroes' }))
    .set(NamespaceManagement.sel, 15);
  const { status } = await rig.admin(probe);
  rig.needs(statusKind(status) !== Status.invalidOpcode, 'creation of namespaces');
}

const format = (rig: Rig, nsid: number) => rig.command(AdminOpcode.formatNvm, nsid);

statement('a format to the same format succeeds', formatCite, async (rig) => {
  await canFormat(rig);
  const ns = await rig.namespace();
  await rig.adminOk(format(rig, ns.nsid).set(FormatNvm.lbafl, ns.format), limitNs);
});

statement('a format with user data erase leaves nothing of the data', formatCite, async (rig) => {
  await canFormat(rig);
  const made = await bench(rig);
  await write(made, 5, { count: 8, seed: 5 });
  const command = format(rig, made.ns.nsid)
    .set(FormatNvm.ses, 1)
    .set(FormatNvm.lbafl, made.ns.format);
  await rig.adminOk(command, limitNs);
  assert.not.ok((await blocksOf(made, 5, 8)).holds({ kind: 'random', seed: 5 }));
});

statement('every format that the namespace has can be used', formatCite, async (rig) => {
  await canFormat(rig);
  const first = await rig.namespace();
  const before = first.format;
  for (let index = 0; index < first.id(IdentifyNamespace.nlbaf); index++) {
    await rig.adminOk(format(rig, first.nsid).set(FormatNvm.lbafl, index), limitNs);
    const ns = await rig.namespace(first.nsid);
    assert.is(ns.format, index);
    assert.ok(ns.blockCount > 0);
  }
  await rig.adminOk(format(rig, first.nsid).set(FormatNvm.lbafl, before), limitNs);
});

statement(
  'after a format to larger blocks the namespace has fewer of them',
  formatCite,
  async (rig) => {
    await canFormat(rig);
    const ns = await rig.namespace();
    const formats = Array.from({ length: ns.id(IdentifyNamespace.nlbaf) }, (_, i) => i);
    const larger = formats.find(
      (i) =>
        ns.formatField('lbads', i) > ns.formatField('lbads', ns.format) &&
        ns.formatField('ms', i) === 0,
    );
    rig.needs(larger !== undefined, 'a format with larger blocks');
    await rig.adminOk(format(rig, ns.nsid).set(FormatNvm.lbafl, larger ?? 0), limitNs);
    const after = await rig.namespace(ns.nsid);
    assert.ok(after.blockCount < ns.blockCount);
    assert.ok(after.blockCount * after.blockBytes <= ns.blockCount * ns.blockBytes);
    await rig.adminOk(format(rig, ns.nsid).set(FormatNvm.lbafl, ns.format), limitNs);
  },
);

statement('a format that the namespace does not have is refused', formatCite, async (rig) => {
  await canFormat(rig);
  const ns = await rig.namespace();
  const index = ns.id(IdentifyNamespace.nlbaf);
  rig.needs(index <= 15, 'a format number that is free');
  const completion = await rig.admin(format(rig, ns.nsid).set(FormatNvm.lbafl, index), limitNs);
  rig.refused(completion, Status.invalidFormat);
});

statement('protection without metadata is refused', formatCite, async (rig) => {
  await canFormat(rig);
  const ns = await rig.namespace();
  rig.needs(ns.metadataBytes === 0, 'a format without metadata');
  const command = format(rig, ns.nsid).set(FormatNvm.lbafl, ns.format).set(FormatNvm.pi, 1);
  rig.refused(await rig.admin(command, limitNs), Status.invalidFormat, Status.invalidField);
});

statement('a reserved secure erase setting is refused', formatCite, async (rig) => {
  await canFormat(rig);
  const ns = await rig.namespace();
  const completion = await rig.admin(format(rig, ns.nsid).set(FormatNvm.ses, 7), limitNs);
  rig.refused(completion, Status.invalidField);
});

statement('a namespace that does not exist cannot be formatted', formatCite, async (rig) => {
  await canFormat(rig);
  const completion = await rig.admin(format(rig, Nsid.lastUsable), limitNs);
  rig.refused(completion, Status.invalidNamespaceOrFormat, Status.invalidField);
});

/** Create a namespace of `bytes` or less. @returns the completion; DW0 is its identifier */
async function create(
  rig: Rig,
  change: { blocks?: number; format?: number; capacity?: number } = {},
) {
  const data = rig.buffer(4096, { kind: 'zeroes' });
  const blocks = change.blocks ?? 32_768;
  IdentifyNamespace.nsze.set(data.words, 0, blocks);
  IdentifyNamespace.ncap.set(data.words, 0, change.capacity ?? blocks);
  IdentifyNamespace.flbasIndex.set(data.words, 0, change.format ?? 0);
  const command = rig
    .command(AdminOpcode.namespaceManagement, 0, data)
    .set(NamespaceManagement.sel, NamespaceManagementSelect.create);
  return rig.admin(command, limitNs);
}

function remove(rig: Rig, nsid: number) {
  const command = rig
    .command(AdminOpcode.namespaceManagement, nsid)
    .set(NamespaceManagement.sel, NamespaceManagementSelect.delete);
  return rig.admin(command, limitNs);
}

/** Attach or detach this controller, or the one that is given. */
async function attach(rig: Rig, nsid: number, options: { select: number; controller?: number }) {
  const data = rig.buffer(4096, { kind: 'zeroes' });
  const controller = options.controller ?? (await rig.id(Id.cntlid));
  ControllerList.count.set(data.words, 0, 1);
  data.bytes[2] = controller & 0xff;
  data.bytes[3] = controller >>> 8;
  const command = rig
    .command(AdminOpcode.namespaceAttachment, nsid, data)
    .set(NamespaceAttachment.sel, options.select);
  return rig.admin(command);
}

const { attach: attached, detach: detached } = NamespaceAttachmentSelect;

/** A new namespace that is not attached, removed after the body. */
async function withNamespace(rig: Rig, body: (nsid: number) => Promise<void>): Promise<void> {
  await canManage(rig);
  const words = await rig.controllerWords();
  rig.needs(Id.unvmcap.count(words, 0) >= 2n ** 26n, 'unallocated capacity');
  const { dw0: nsid } = rig.succeeded(await create(rig));
  try {
    await body(nsid);
  } finally {
    await remove(rig, nsid);
  }
}

statement('a created namespace is allocated and not active', manageCite, async (rig) => {
  await withNamespace(rig, async (nsid) => {
    assert.ok(namespaceList(await rig.identify(Cns.allocatedNamespaces)).includes(nsid));
    assert.not.ok((await activeNamespaces(rig)).includes(nsid));
  });
});

statement('a created namespace has the size that was asked for', manageCite, async (rig) => {
  await withNamespace(rig, async (nsid) => {
    const words = await rig.identify(Cns.allocatedNamespace, { nsid });
    assert.is(IdentifyNamespace.nsze.get(words, 0), 32_768);
  });
});

statement('a created namespace takes from the unallocated capacity', manageCite, async (rig) => {
  await canManage(rig);
  const before = Id.unvmcap.count(await rig.identify(Cns.controller), 0);
  await withNamespace(rig, async () => {
    const during = Id.unvmcap.count(await rig.identify(Cns.controller), 0);
    assert.ok(before - during >= 32_768n * 512n);
  });
  assert.is(Id.unvmcap.count(await rig.identify(Cns.controller), 0), before);
});

statement('a deleted namespace is no longer allocated', manageCite, async (rig) => {
  await withNamespace(rig, async (nsid) => {
    rig.succeeded(await remove(rig, nsid));
    assert.not.ok(namespaceList(await rig.identify(Cns.allocatedNamespaces)).includes(nsid));
  });
});

statement('a deleted namespace cannot be deleted again', manageCite, async (rig) => {
  await withNamespace(rig, async (nsid) => {
    rig.succeeded(await remove(rig, nsid));
    rig.refused(await remove(rig, nsid), Status.invalidField, Status.invalidNamespaceOrFormat);
  });
});

statement('a namespace larger than what is left is refused', manageCite, async (rig) => {
  await canManage(rig);
  const completion = await create(rig, { blocks: 2 ** 52 });
  rig.refused(completion, Status.namespaceInsufficientCapacity, Status.insufficientCapacity);
});

statement('a namespace of a format that does not exist is refused', manageCite, async (rig) => {
  await canManage(rig);
  const ns = await rig.namespace();
  rig.needs(ns.id(IdentifyNamespace.nlbaf) <= 15, 'a format number that is free');
  rig.refused(await create(rig, { format: 15 }), Status.invalidFormat);
});

statement(
  'less capacity than size is refused without thin provisioning',
  manageCite,
  async (rig) => {
    await canManage(rig);
    const ns = await rig.namespace();
    rig.needs(ns.id(IdentifyNamespace.nsfeatThin) === 0, 'absence of thin provisioning');
    const completion = await create(rig, { blocks: 32_768, capacity: 16_384 });
    rig.refused(completion, Status.thinProvisioningNotSupported);
  },
);

statement('a reserved selection of namespace management is refused', manageCite, async (rig) => {
  await canManage(rig);
  const command = rig
    .command(AdminOpcode.namespaceManagement, 0, rig.buffer(4096, { kind: 'zeroes' }))
    .set(NamespaceManagement.sel, 9);
  rig.refused(await rig.admin(command), Status.invalidField);
});

statement('an attached namespace is active, a detached one is not', attachCite, async (rig) => {
  await withNamespace(rig, async (nsid) => {
    rig.succeeded(await attach(rig, nsid, { select: attached }));
    assert.ok((await activeNamespaces(rig)).includes(nsid));
    rig.succeeded(await attach(rig, nsid, { select: detached }));
    assert.not.ok((await activeNamespaces(rig)).includes(nsid));
  });
});

statement('an attached namespace can be written and read', attachCite, async (rig) => {
  await withNamespace(rig, async (nsid) => {
    rig.succeeded(await attach(rig, nsid, { select: attached }));
    const made = { rig, ns: await rig.namespace(nsid), pair: await rig.queuePair() };
    await write(made, 0, { count: 4, seed: nsid });
    assert.ok((await blocksOf(made, 0, 4)).holds({ kind: 'random', seed: nsid }));
  });
});

statement('two namespaces do not share blocks', attachCite, async (rig) => {
  await withNamespace(rig, async (nsid) => {
    rig.succeeded(await attach(rig, nsid, { select: attached }));
    const first = await bench(rig);
    const second = { ...first, ns: await rig.namespace(nsid) };
    await write(first, 3, { count: 1, seed: 1 });
    await write(second, 3, { count: 1, seed: 2 });
    assert.ok((await blocksOf(first, 3, 1)).holds({ kind: 'random', seed: 1 }));
    assert.ok((await blocksOf(second, 3, 1)).holds({ kind: 'random', seed: 2 }));
  });
});

statement('an attached namespace cannot be attached again', attachCite, async (rig) => {
  await withNamespace(rig, async (nsid) => {
    rig.succeeded(await attach(rig, nsid, { select: attached }));
    const again = await attach(rig, nsid, { select: attached });
    rig.refused(again, Status.namespaceAlreadyAttached);
  });
});

statement('a namespace that is not attached cannot be detached', attachCite, async (rig) => {
  await withNamespace(rig, async (nsid) => {
    rig.refused(await attach(rig, nsid, { select: detached }), Status.namespaceNotAttached);
  });
});

statement(
  'a namespace cannot be attached to a controller that does not exist',
  attachCite,
  async (rig) => {
    await withNamespace(rig, async (nsid) => {
      const completion = await attach(rig, nsid, { select: attached, controller: 0xfff0 });
      rig.refused(completion, Status.controllerListInvalid);
    });
  },
);

statement('a namespace that does not exist cannot be attached', attachCite, async (rig) => {
  await canManage(rig);
  const completion = await attach(rig, Nsid.lastUsable, { select: attached });
  rig.refused(completion, Status.invalidField, Status.invalidNamespaceOrFormat);
});

statement('I/O to a detached namespace is refused', attachCite, async (rig) => {
  await withNamespace(rig, async (nsid) => {
    rig.succeeded(await attach(rig, nsid, { select: attached }));
    const ns = await rig.namespace(nsid);
    const pair = await rig.queuePair();
    await pair.runOk(ns.read({ lba: 0 }, ns.buffer(1)));
    rig.succeeded(await attach(rig, nsid, { select: detached }));
    const completion = await pair.run(ns.read({ lba: 0 }, ns.buffer(1)));
    rig.refused(completion, Status.invalidField, Status.invalidNamespaceOrFormat);
  });
});

statement(
  'deleting a namespace that another command made active reports a change',
  '[NVMe-2.0 §5.2 AER]',
  async (rig) => {
    rig.needs((await rig.id(Id.oaesNamespace)) === 1, 'namespace attribute notices');
    await withNamespace(rig, async (nsid) => {
      rig.succeeded(await attach(rig, nsid, { select: attached }));
      rig.succeeded(await rig.setFeature({ fid: Feature.asynchronousEvents, value: 0x100 }));
      await rig.logPage({ lid: LogPage.changedNamespaces, bytes: 4096 });
      const { adminSq, adminCq } = rig.controller;
      const cid = adminSq.post(rig.command(AdminOpcode.asynchronousEventRequest));
      adminSq.ring();
      rig.succeeded(await remove(rig, nsid));
      const event = await rig.controller.waitFor(adminCq, { sqid: 0, cid });
      assert.is(AsyncEventResult.type.of(event.dw0), 2);
      assert.is(AsyncEventResult.info.of(event.dw0), 0);
      assert.is(AsyncEventResult.logPage.of(event.dw0), LogPage.changedNamespaces);
      const changed = await rig.logPage({ lid: LogPage.changedNamespaces, bytes: 4096 });
      assert.ok(namespaceList(changed).includes(nsid));
    });
  },
);

statement(
  'the changed namespace list is empty once it was read',
  '[NVMe-2.0 §5.16.1.5 Changed Namespace List]',
  async (rig) => {
    await canManage(rig);
    await rig.logPage({ lid: LogPage.changedNamespaces, bytes: 4096 });
    const second = await rig.logPage({ lid: LogPage.changedNamespaces, bytes: 4096 });
    assert.is(second[0], 0);
  },
);

statement.run();
