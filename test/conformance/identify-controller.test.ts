import * as assert from 'uvu/assert';
import { Identify } from '../../sdk/spec/nvme/admin-command.js';
import { Fuse, Psdt, Sqe } from '../../sdk/spec/nvme/command.js';
import { Cns, ControllerList, identifyBytes } from '../../sdk/spec/nvme/identify.js';
import {
  IdentifyController as Id,
  IdentifyControllerNvm,
  PowerState,
  PrimaryCapabilities,
  SecondaryList,
} from '../../sdk/spec/nvme/identify-controller.js';
import { AdminOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Vs } from '../../sdk/spec/nvme/registers.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { poison } from '../../sdk/testing/buffer.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { statements } from './statement.js';

const statement = statements('Identify, controller');

const cite = '[NVMe-2.0 §5.17.2.1 Identify Controller]';

/** Whether the controller claims a version of the standard, or a later one. */
function isAtLeast(rig: Rig, major: number, minor: number): boolean {
  const vs = rig.controller.read('vs');
  return Vs.mjr.of(vs) * 256 + Vs.mnr.of(vs) >= major * 256 + minor;
}

statement('the vendor identifiers are those of configuration space', cite, async (rig) => {
  assert.is(await rig.id(Id.vid), rig.fn.config.read16(0x00));
  assert.is(await rig.id(Id.ssvid), rig.fn.config.read16(0x2c));
});

for (const [field, name] of [
  [Id.sn, 'serial number'],
  [Id.mn, 'model number'],
  [Id.fr, 'firmware revision'],
] as const) {
  statement(`the ${name} is ASCII, padded with blanks`, cite, async (rig) => {
    const bytes = field.bytes(await rig.controllerWords(), 0);
    assert.ok(bytes.every((byte) => byte >= 0x20 && byte <= 0x7e));
    assert.ok(bytes.some((byte) => byte !== 0x20));
  });
}

statement('submission queue entries of 64 bytes are supported', cite, async (rig) => {
  assert.is(await rig.id(Id.sqesRequired), 6);
  assert.ok((await rig.id(Id.sqesMaximum)) >= 6);
});

statement('completion queue entries of 16 bytes are supported', cite, async (rig) => {
  assert.is(await rig.id(Id.cqesRequired), 4);
  assert.ok((await rig.id(Id.cqesMaximum)) >= 4);
});

statement('there is at least one possible namespace', cite, async (rig) => {
  assert.ok((await rig.id(Id.nn)) >= 1);
});

statement('the firmware has between one and seven slots', cite, async (rig) => {
  const slots = await rig.id(Id.frmwSlots);
  assert.ok(slots >= 1 && slots <= 7);
});

statement('there are at most 32 power states', cite, async (rig) => {
  assert.ok((await rig.id(Id.npss)) <= 32);
});

statement('power state 0 is operational', cite, async (rig) => {
  const words = await rig.controllerWords();
  assert.is(PowerState.nops.get(words, Id.psd.at(0, 0)), 0);
});

statement('power states beyond NPSS are zero', cite, async (rig) => {
  const words = await rig.controllerWords();
  for (let i = await rig.id(Id.npss); i < 32; i++) {
    const at = Id.psd.at(0, i);
    assert.ok(words.subarray(at, at + 8).every((word) => word === 0));
  }
});

statement('no power state draws more than the one before it', cite, async (rig) => {
  const words = await rig.controllerWords();
  let previous = Number.POSITIVE_INFINITY;
  for (let i = 0; i < (await rig.id(Id.npss)); i++) {
    const at = Id.psd.at(0, i);
    const scale = PowerState.mxps.get(words, at) === 1 ? 1 : 100;
    const power = PowerState.mp.get(words, at) * scale;
    if (power === 0) continue;
    assert.ok(power <= previous);
    previous = power;
  }
});

statement('a warning temperature is not above the critical one', cite, async (rig) => {
  const [warning, critical] = [await rig.id(Id.wctemp), await rig.id(Id.cctemp)];
  rig.needs(warning !== 0 && critical !== 0, 'temperature thresholds');
  assert.ok(warning <= critical);
});

statement(
  'both or neither temperature threshold is reported from version 1.2 on',
  cite,
  async (rig) => {
    rig.needs(isAtLeast(rig, 1, 2), 'version 1.2');
    assert.is((await rig.id(Id.wctemp)) === 0, (await rig.id(Id.cctemp)) === 0);
  },
);

statement('a controller of version 1.4 or later is an I/O controller', cite, async (rig) => {
  rig.needs(isAtLeast(rig, 1, 4), 'version 1.4');
  assert.is(await rig.id(Id.cntrltype), 1);
});

statement('the subsystem has a qualified name', '[NVMe-2.0 §4.5 NQN]', async (rig) => {
  rig.needs(isAtLeast(rig, 1, 3), 'version 1.3');
  const name = Id.subnqn.text(await rig.controllerWords(), 0);
  assert.match(name, /^nqn\.\d{4}-\d{2}\./);
  assert.ok(name.length <= 223);
});

statement('the qualified name ends with a zero byte', '[NVMe-2.0 §4.5 NQN]', async (rig) => {
  rig.needs(isAtLeast(rig, 1, 3), 'version 1.3');
  assert.ok(Id.subnqn.bytes(await rig.controllerWords(), 0).includes(0));
});

statement('unallocated capacity is part of the total capacity', cite, async (rig) => {
  rig.needs((await rig.id(Id.oacsNamespace)) === 1, 'namespace management');
  const words = await rig.controllerWords();
  assert.ok(Id.unvmcap.count(words, 0) <= Id.tnvmcap.count(words, 0));
  assert.ok(Id.tnvmcap.count(words, 0) > 0n);
});

statement('keep alive granularity is zero or a time', cite, async (rig) => {
  assert.ok((await rig.id(Id.kas)) <= 0xffff);
});

statement('the atomic write unit at power fail is not above the normal one', cite, async (rig) => {
  assert.ok((await rig.id(Id.awupf)) <= (await rig.id(Id.awun)));
});

statement('two reads of Identify Controller agree', cite, async (rig) => {
  const first = await rig.controllerWords();
  assert.equal(await rig.identify(Cns.controller), first);
});

statement('Identify Controller does not depend on the namespace identifier', cite, async (rig) => {
  const first = await rig.controllerWords();
  const [completion, data] = await rig.tryIdentify(Cns.controller, { nsid: 1 });
  if (completion.status === 0) assert.equal(data.words, first);
  else rig.refused(completion, Status.invalidField, Status.invalidNamespaceOrFormat);
});

statement('Identify writes 4096 bytes and no more', cite, async (rig) => {
  const data = rig.buffer(3 * rig.pageBytes);
  const middle = data.slice(rig.pageBytes, identifyBytes);
  const command = rig.command(AdminOpcode.identify, 0, middle).set(Identify.cns, Cns.controller);
  await rig.adminOk(command);
  assert.ok(data.slice(0, rig.pageBytes).holds(poison));
  assert.ok(data.slice(rig.pageBytes + identifyBytes).holds(poison));
  assert.equal(middle.words, await rig.controllerWords());
});

for (const offset of [4, 512, 2048, 4092]) {
  statement(
    `Identify data may start ${offset} bytes inside a page`,
    '[NVMe-2.0 §4.1.1 PRP]',
    async (rig) => {
      const data = rig.buffer(3 * rig.pageBytes).slice(offset, identifyBytes);
      const command = rig.command(AdminOpcode.identify, 0, data).set(Identify.cns, Cns.controller);
      await rig.adminOk(command);
      assert.equal(data.words, await rig.controllerWords());
    },
  );
}

for (const cns of [0x3f, 0x7f, 0xbf]) {
  const title = `the reserved structure ${cns.toString(16)}h is refused`;
  statement(title, '[NVMe-2.0 §5.17.1 CNS]', async (rig) => {
    const [completion, data] = await rig.tryIdentify(cns);
    rig.refused(completion, Status.invalidField);
    assert.ok(data.holds(poison), 'a refused command moves no data');
  });
}

statement(
  'an admin command with an SGL is refused over PCIe',
  '[NVMe-2.0 §3.3.3.1 PSDT]',
  async (rig) => {
    const data = rig.buffer(identifyBytes);
    const command = rig
      .command(AdminOpcode.identify)
      .sgl({ address: data.iova, length: data.length, type: 0 })
      .set(Sqe.psdt, Psdt.sgl)
      .set(Identify.cns, Cns.controller);
    rig.refused(await rig.admin(command), Status.invalidField);
  },
);

statement('a fused admin command is refused', '[NVMe-2.0 §3.3.3.1 FUSE]', async (rig) => {
  const data = rig.buffer(identifyBytes);
  const command = rig
    .command(AdminOpcode.identify, 0, data)
    .set(Sqe.fuse, Fuse.first)
    .set(Identify.cns, Cns.controller);
  rig.refused(await rig.admin(command), Status.invalidField, Status.abortedMissingFused);
});

statement(
  'the controller list is ascending and holds this controller',
  '[NVMe-2.0 §4.4.1 Controller List]',
  async (rig) => {
    rig.needs((await rig.id(Id.oacsNamespace)) === 1, 'namespace management');
    const ids = controllersOf(await rig.identify(Cns.controllers));
    assert.equal(
      ids,
      ids.toSorted((a, b) => a - b),
    );
    assert.ok(ids.includes(await rig.id(Id.cntlid)));
  },
);

statement(
  'the controller list starts at the identifier asked for',
  '[NVMe-2.0 §5.17.2.13]',
  async (rig) => {
    rig.needs((await rig.id(Id.oacsNamespace)) === 1, 'namespace management');
    const own = await rig.id(Id.cntlid);
    const ids = controllersOf(await rig.identify(Cns.controllers, { cntid: own }));
    assert.is(ids[0], own);
    const beyond = controllersOf(await rig.identify(Cns.controllers, { cntid: own + 1 }));
    assert.not.ok(beyond.includes(own));
  },
);

statement(
  'the NVM command set has its own controller structure',
  '[NVM-1.0 §4.1.5.4]',
  async (rig) => {
    const [completion, data] = await rig.tryIdentify(Cns.controllerOfCommandSet, { csi: 0 });
    rig.needs(completion.status === 0, 'Identify Controller of a command set');
    // Bytes from 24 on are reserved.
    assert.ok(data.words.subarray(6).every((word) => word === 0));
    assert.ok(IdentifyControllerNvm.vsl.get(data.words, 0) <= 32);
  },
);

statement('a command set that is not supported is refused', '[NVMe-2.0 §5.17.2.7]', async (rig) => {
  const [known] = await rig.tryIdentify(Cns.controllerOfCommandSet, { csi: 0 });
  rig.needs(known.status === 0, 'Identify Controller of a command set');
  const [completion] = await rig.tryIdentify(Cns.controllerOfCommandSet, { csi: 0x2f });
  rig.refused(
    completion,
    Status.invalidField,
    Status.commandSetNotSupported,
    Status.invalidCommandSet,
  );
});

statement(
  'primary controller capabilities name this controller',
  '[NVMe-2.0 §5.17.2.16]',
  async (rig) => {
    rig.needs((await rig.id(Id.oacsVirtualization)) === 1, 'virtualization management');
    const words = await rig.identify(Cns.primaryCapabilities);
    assert.is(PrimaryCapabilities.cntlid.get(words, 0), await rig.id(Id.cntlid));
  },
);

statement(
  'secondary controllers are listed in ascending order',
  '[NVMe-2.0 §5.17.2.17]',
  async (rig) => {
    rig.needs((await rig.id(Id.oacsVirtualization)) === 1, 'virtualization management');
    const words = await rig.identify(Cns.secondaryControllers);
    const count = SecondaryList.count.get(words, 0);
    const { entries } = SecondaryList;
    const ids = Array.from({ length: count }, (_, i) =>
      entries.item.scid.get(words, entries.at(0, i)),
    );
    assert.equal(
      ids,
      ids.toSorted((a, b) => a - b),
    );
    assert.not.ok(ids.includes(await rig.id(Id.cntlid)));
  },
);

function controllersOf(words: Uint32Array): number[] {
  const bytes = ControllerList.identifiers.bytes(words, 0);
  const count = ControllerList.count.get(words, 0);
  return Array.from({ length: count }, (_, i) => bytes[2 * i]! + 256 * bytes[2 * i + 1]!);
}

statement.run();
