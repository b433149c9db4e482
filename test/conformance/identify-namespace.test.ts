import * as assert from 'uvu/assert';
import { Cns, CommandSets, ControllerList, Nsid } from '../../sdk/spec/nvme/identify.js';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import {
  IdentifyNamespace as Id,
  IdentifyNamespaceIndependent,
  NamespaceDescriptor,
  NamespaceIdentifierType,
} from '../../sdk/spec/nvme/identify-namespace.js';
import { Cap } from '../../sdk/spec/nvme/registers.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { activeNamespaces, namespaceList } from '../../sdk/testing/namespace.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { statements } from './statement.js';

const statement = statements('Identify, namespaces');

const cite = '[NVM-1.0 §4.1.5.1 Identify Namespace]';
const listCite = '[NVMe-2.0 §5.17.2.3 Active Namespace ID list]';
const descriptorCite = '[NVMe-2.0 §5.17.2.4 Namespace Identification Descriptor list]';

/** A valid identifier of a namespace that is not attached to this controller. */
async function inactive(rig: Rig): Promise<number> {
  const active = await activeNamespaces(rig);
  const count = await rig.id(IdentifyController.nn);
  const free = Array.from({ length: Math.min(count, 1024) }, (_, i) => i + 1).find(
    (nsid) => !active.includes(nsid),
  );
  rig.needs(free !== undefined, 'an inactive namespace identifier');
  return free ?? 0;
}

statement('capacity is not above size, nor utilization above capacity', cite, async (rig) => {
  const ns = await rig.namespace();
  const [size, capacity, used] = [Id.nsze, Id.ncap, Id.nuse].map((f) => f.get(ns.words, 0));
  assert.ok(capacity! <= size! && used! <= capacity!);
  assert.ok(size! > 0);
});

statement('the format in use exists', cite, async (rig) => {
  const ns = await rig.namespace();
  assert.ok(ns.format < ns.id(Id.nlbaf));
});

statement('a block of the format in use has at least 512 bytes', cite, async (rig) => {
  assert.ok((await rig.namespace()).blockBytes >= 512);
});

statement('formats beyond NLBAF are zero', cite, async (rig) => {
  const ns = await rig.namespace();
  for (let i = ns.id(Id.nlbaf); i < 16; i++) assert.is(ns.words[Id.lbaf.at(0, i)], 0);
});

statement(
  'a separate or extended metadata transfer is possible where a format has metadata',
  cite,
  async (rig) => {
    const ns = await rig.namespace();
    const sizes = Array.from({ length: ns.id(Id.nlbaf) }, (_, i) => ns.formatField('ms', i));
    rig.needs(
      sizes.some((bytes) => bytes > 0),
      'a format with metadata',
    );
    assert.ok(ns.id(Id.mcExtended) === 1 || ns.id(Id.mcSeparate) === 1);
  },
);

statement('protection in use is a type that the namespace can have', cite, async (rig) => {
  const ns = await rig.namespace();
  const type = ns.id(Id.dpsType);
  const supported = [1, ns.id(Id.dpcType1), ns.id(Id.dpcType2), ns.id(Id.dpcType3)];
  assert.is(supported[type], 1);
});

statement(
  'where copy is supported its limits are not zero',
  '[NVM-1.0 §3.2.2 Copy]',
  async (rig) => {
    rig.needs((await rig.id(IdentifyController.oncsCopy)) === 1, 'copy');
    const ns = await rig.namespace();
    assert.ok(ns.id(Id.mssrl) > 0);
    assert.ok(ns.id(Id.mcl) >= ns.id(Id.mssrl));
  },
);

statement('reserved bytes of Identify Namespace are zero', cite, async (rig) => {
  const ns = await rig.namespace();
  // Bytes 84 to 91 are reserved, as are the first three of the dword that holds NSATTR.
  assert.equal([ns.words[21], ns.words[22]], [0, 0]);
  assert.is(ns.words[24]! & 0x00ff_ffff, 0);
});

for (const nsid of [Nsid.none, Nsid.lastUsable]) {
  statement(`namespace ${nsid.toString(16)}h cannot be identified`, cite, async (rig) => {
    const [completion] = await rig.tryIdentify(Cns.namespace, { nsid });
    rig.refused(completion, Status.invalidNamespaceOrFormat);
  });
}

statement('a namespace above NN cannot be identified', cite, async (rig) => {
  const nsid = (await rig.id(IdentifyController.nn)) + 1;
  const [completion] = await rig.tryIdentify(Cns.namespace, { nsid });
  rig.refused(completion, Status.invalidNamespaceOrFormat);
});

statement('an inactive namespace reads as zeroes', cite, async (rig) => {
  const words = await rig.identify(Cns.namespace, { nsid: await inactive(rig) });
  assert.ok(words.every((word) => word === 0));
});

statement(
  'the broadcast identifier reads capabilities common to all namespaces',
  cite,
  async (rig) => {
    const [completion, data] = await rig.tryIdentify(Cns.namespace, { nsid: Nsid.broadcast });
    if ((await rig.id(IdentifyController.oacsNamespace)) === 0) {
      if (completion.status !== 0) rig.refused(completion, Status.invalidNamespaceOrFormat);
      return;
    }
    rig.succeeded(completion);
    assert.ok(Id.nlbaf.get(data.words, 0) >= 1);
  },
);

statement('active namespaces are listed in ascending order', listCite, async (rig) => {
  const nsids = await activeNamespaces(rig);
  assert.equal(
    nsids,
    nsids.toSorted((a, b) => a - b),
  );
  assert.is(new Set(nsids).size, nsids.length);
});

statement('every active namespace identifier is in range', listCite, async (rig) => {
  const limit = await rig.id(IdentifyController.nn);
  for (const nsid of await activeNamespaces(rig)) assert.ok(nsid >= 1 && nsid <= limit);
});

statement('every active namespace can be identified', listCite, async (rig) => {
  for (const nsid of await activeNamespaces(rig)) {
    const words = await rig.identify(Cns.namespace, { nsid });
    assert.ok(Id.nsze.get(words, 0) > 0);
  }
});

statement('the active list starts above the identifier asked for', listCite, async (rig) => {
  const [first] = await activeNamespaces(rig);
  rig.needs(first !== undefined, 'an active namespace');
  assert.not.ok((await activeNamespaces(rig, first)).includes(first ?? 0));
});

statement('the list after the last namespace is empty', listCite, async (rig) => {
  const last = (await activeNamespaces(rig)).at(-1) ?? 0;
  assert.equal(await activeNamespaces(rig, last), []);
});

for (const nsid of [Nsid.lastUsable, Nsid.broadcast]) {
  statement(`a list above ${nsid.toString(16)}h is refused`, listCite, async (rig) => {
    const [completion] = await rig.tryIdentify(Cns.activeNamespaces, { nsid });
    rig.refused(completion, Status.invalidNamespaceOrFormat);
  });
}

/** Descriptors of a namespace: type and bytes. */
function descriptorsOf(words: Uint32Array): { type: number; bytes: Uint8Array }[] {
  const all = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const found: { type: number; bytes: Uint8Array }[] = [];
  // A one-byte identifier puts the next header off its dword.
  const header = new Uint32Array(1);
  for (let at = 0; at < 4092; ) {
    new Uint8Array(header.buffer).set(all.subarray(at, at + 4));
    const length = NamespaceDescriptor.nidl.get(header, 0);
    if (length === 0) break;
    found.push({
      type: NamespaceDescriptor.nidt.get(header, 0),
      bytes: all.slice(at + 4, at + 4 + length),
    });
    at += 4 + length;
  }
  return found;
}

statement(
  'identification descriptors have the length of their type',
  descriptorCite,
  async (rig) => {
    const { nsid } = await rig.namespace();
    const lengths: Readonly<Record<number, number>> = { 1: 8, 2: 16, 3: 16, 4: 1 };
    for (const { type, bytes } of descriptorsOf(
      await rig.identify(Cns.namespaceDescriptors, { nsid }),
    )) {
      assert.is(bytes.length, lengths[type]);
    }
  },
);

statement('a namespace has an EUI64, an NGUID or a UUID', descriptorCite, async (rig) => {
  const { nsid } = await rig.namespace();
  const found = descriptorsOf(await rig.identify(Cns.namespaceDescriptors, { nsid }));
  assert.ok(found.some(({ type, bytes }) => type <= 3 && bytes.some((byte) => byte !== 0)));
});

statement('no identification descriptor comes twice', descriptorCite, async (rig) => {
  const { nsid } = await rig.namespace();
  const types = descriptorsOf(await rig.identify(Cns.namespaceDescriptors, { nsid })).map(
    (d) => d.type,
  );
  assert.is(new Set(types).size, types.length);
});

for (const [type, field, name] of [
  [NamespaceIdentifierType.eui64, Id.eui64, 'EUI64'],
  [NamespaceIdentifierType.nguid, Id.nguid, 'NGUID'],
] as const) {
  statement(`the ${name} descriptor and Identify Namespace agree`, descriptorCite, async (rig) => {
    const ns = await rig.namespace();
    const found = descriptorsOf(await rig.identify(Cns.namespaceDescriptors, { nsid: ns.nsid }));
    const descriptor = found.find((d) => d.type === type);
    const own = field.bytes(ns.words, 0);
    rig.needs(
      own.some((byte) => byte !== 0),
      `an ${name}`,
    );
    assert.equal([...(descriptor?.bytes ?? [])], [...own]);
  });
}

statement('descriptors of an inactive namespace are refused', descriptorCite, async (rig) => {
  const [completion] = await rig.tryIdentify(Cns.namespaceDescriptors, {
    nsid: await inactive(rig),
  });
  rig.refused(completion, Status.invalidNamespaceOrFormat, Status.invalidField);
});

statement('allocated namespaces include the active ones', '[NVMe-2.0 §5.17.2.10]', async (rig) => {
  rig.needs((await rig.id(IdentifyController.oacsNamespace)) === 1, 'namespace management');
  const allocated = namespaceList(await rig.identify(Cns.allocatedNamespaces));
  for (const nsid of await activeNamespaces(rig)) assert.ok(allocated.includes(nsid));
  assert.equal(
    allocated,
    allocated.toSorted((a, b) => a - b),
  );
});

statement(
  'an active namespace reads the same as an allocated one',
  '[NVMe-2.0 §5.17.2.11]',
  async (rig) => {
    rig.needs((await rig.id(IdentifyController.oacsNamespace)) === 1, 'namespace management');
    const ns = await rig.namespace();
    assert.equal(await rig.identify(Cns.allocatedNamespace, { nsid: ns.nsid }), ns.words);
  },
);

statement(
  'the controllers of a namespace include this one',
  '[NVMe-2.0 §5.17.2.12]',
  async (rig) => {
    rig.needs((await rig.id(IdentifyController.oacsNamespace)) === 1, 'namespace management');
    const { nsid } = await rig.namespace();
    const words = await rig.identify(Cns.controllersOfNamespace, { nsid });
    const bytes = ControllerList.identifiers.bytes(words, 0);
    const ids = Array.from(
      { length: ControllerList.count.get(words, 0) },
      (_, i) => bytes[2 * i]! + 256 * bytes[2 * i + 1]!,
    );
    assert.ok(ids.includes(await rig.id(IdentifyController.cntlid)));
  },
);

statement(
  'active namespaces of the NVM command set are active namespaces',
  '[NVMe-2.0 §5.17.2.8]',
  async (rig) => {
    const [completion, data] = await rig.tryIdentify(Cns.activeNamespacesOfCommandSet, { csi: 0 });
    rig.needs(completion.status === 0, 'namespace lists by command set');
    const active = await activeNamespaces(rig);
    for (const nsid of namespaceList(data.words)) assert.ok(active.includes(nsid));
  },
);

statement(
  'the structure of a namespace independent of command sets agrees',
  '[NVMe-2.0 §5.17.2.9]',
  async (rig) => {
    const ns = await rig.namespace();
    const [completion, data] = await rig.tryIdentify(Cns.namespaceIndependent, { nsid: ns.nsid });
    rig.needs(completion.status === 0, 'the namespace structure independent of command sets');
    assert.is(IdentifyNamespaceIndependent.nmicShared.get(data.words, 0), ns.id(Id.nmicShared));
    assert.is(IdentifyNamespaceIndependent.anagrpid.get(data.words, 0), ns.id(Id.anagrpid));
  },
);

statement(
  'some combination of command sets includes the NVM command set',
  '[NVMe-2.0 §5.17.2.23]',
  async (rig) => {
    rig.needs(rig.controller.cap(Cap.cssIocs) === 1, 'several command sets');
    const words = await rig.identify(Cns.commandSets, { cntid: 0xffff });
    const { combinations } = CommandSets;
    const hasNvm = Array.from({ length: 512 }, (_, i) =>
      combinations.item.nvm.get(words, combinations.at(0, i)),
    );
    assert.ok(hasNvm.includes(1));
  },
);

statement.run();
