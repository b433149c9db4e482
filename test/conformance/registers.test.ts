import * as assert from 'uvu/assert';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import {
  Acq,
  Aqa,
  Asq,
  allOnes,
  Cap,
  Cc,
  Cmbmsc,
  Csts,
  nssrReset,
  type RegisterName,
  Vs,
} from '../../sdk/spec/nvme/registers.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { msNs } from '../../sdk/units.js';
import { statements } from './statement.js';

const statement = statements('controller registers');

const both = (rig: Rig, name: RegisterName): [number, number] => [
  rig.controller.read(name),
  rig.controller.readHigh(name),
];

statement('a queue may have at least two entries', '[NVMe-2.0 §3.1.3.1 CAP.MQES]', async (rig) => {
  assert.ok(rig.controller.cap(Cap.mqes) >= 2);
});

statement(
  'the largest memory page is not smaller than the smallest',
  '[NVMe-2.0 §3.1.3.1 CAP.MPSMAX]',
  async (rig) => {
    assert.ok(rig.controller.cap(Cap.mpsmax) >= rig.controller.cap(Cap.mpsmin));
  },
);

statement('at least one command set is supported', '[NVMe-2.0 §3.1.3.1 CAP.CSS]', async (rig) => {
  const sets = [Cap.cssNvm, Cap.cssIocs, Cap.cssNoio].map((field) => rig.controller.cap(field));
  assert.ok(sets.includes(1));
});

statement('the time to become ready is stated', '[NVMe-2.0 §3.1.3.1 CAP.TO]', async (rig) => {
  assert.ok(rig.controller.cap(Cap.to) > 0);
});

statement('reserved bits of CAP are zero', '[NVMe-2.0 §3.1.3.1 CAP]', async (rig) => {
  const [low, high] = both(rig, 'cap');
  assert.is(low & 0x00f8_0000, 0);
  assert.is(high & 0xe000_0000, 0);
});

statement('CAP cannot be written', '[NVMe-2.0 §3.1.3.1 CAP]', async (rig) => {
  const before = both(rig, 'cap');
  rig.controller.write('cap', ~before[0] >>> 0);
  rig.controller.writeHigh('cap', ~before[1] >>> 0);
  assert.equal(both(rig, 'cap'), before);
});

statement('VS names a version of the standard', '[NVMe-2.0 §3.1.3.2 VS]', async (rig) => {
  const vs = rig.controller.read('vs');
  assert.ok([1, 2].includes(Vs.mjr.of(vs)));
  assert.ok(Vs.mnr.of(vs) <= 4);
});

statement('VS cannot be written', '[NVMe-2.0 §3.1.3.2 VS]', async (rig) => {
  const before = rig.controller.read('vs');
  rig.controller.write('vs', 0);
  assert.is(rig.controller.read('vs'), before);
});

statement('VS and Identify name the same version', '[NVMe-2.0 §5.17.2.1 VER]', async (rig) => {
  const version = await rig.id(IdentifyController.ver);
  rig.needs(version !== 0, 'a version in Identify Controller');
  assert.is(version, rig.controller.read('vs'));
});

statement('CAP and VS survive a controller reset', '[NVMe-2.0 §3.7.2]', async (rig) => {
  const before = [...both(rig, 'cap'), rig.controller.read('vs')];
  await rig.controller.disable();
  assert.equal([...both(rig, 'cap'), rig.controller.read('vs')], before);
});

statement('CC.EN = 1 makes CSTS.RDY 1 within CAP.TO', '[NVMe-2.0 §3.1.3.5 CC.EN]', async (rig) => {
  const { clock } = rig.fn;
  await rig.controller.disable();
  const startNs = clock.nowNs();
  await rig.controller.enable();
  assert.ok(clock.nowNs() - startNs <= rig.controller.readyTimeoutNs);
});

statement('CC.EN = 0 makes CSTS.RDY 0 within CAP.TO', '[NVMe-2.0 §3.1.3.5 CC.EN]', async (rig) => {
  assert.is(Csts.rdy.of(rig.controller.read('csts')), 1);
  await rig.controller.disable();
  assert.is(Csts.rdy.of(rig.controller.read('csts')), 0);
});

statement('CC reads back what enabled the controller', '[NVMe-2.0 §3.1.3.5 CC]', async (rig) => {
  assert.is(rig.controller.read('cc'), rig.controller.configuration());
});

statement(
  'a ready controller reports neither a fatal error nor a shutdown',
  '[NVMe-2.0 §3.1.3.6 CSTS]',
  async (rig) => {
    const csts = rig.controller.read('csts');
    assert.is(Csts.cfs.of(csts), 0);
    assert.is(Csts.shst.of(csts), 0);
  },
);

statement('CSTS.RDY, CFS and SHST cannot be written', '[NVMe-2.0 §3.1.3.6 CSTS]', async (rig) => {
  const before = rig.controller.read('csts');
  rig.controller.write('csts', 0xf);
  assert.is(rig.controller.read('csts') & 0xf, before & 0xf);
  rig.controller.write('csts', 0);
  assert.is(rig.controller.read('csts') & 0xf, before & 0xf);
});

statement(
  'AQA, ASQ and ACQ keep their values over a controller reset',
  '[NVMe-2.0 §3.7.2]',
  async (rig) => {
    const values = () => [rig.controller.read('aqa'), ...both(rig, 'asq'), ...both(rig, 'acq')];
    const before = values();
    await rig.controller.disable();
    assert.equal(values(), before);
  },
);

statement('AQA reads back both queue sizes', '[NVMe-2.0 §3.1.3.8 AQA]', async (rig) => {
  await rig.controller.disable();
  const value = Aqa.acqs.put(Aqa.asqs.put(0, 7), 4096);
  rig.controller.write('aqa', value);
  assert.is(rig.controller.read('aqa'), value);
});

statement('ASQ and ACQ hold 64-bit page addresses', '[NVMe-2.0 §3.1.3.9 ASQ]', async (rig) => {
  await rig.controller.disable();
  const words = new Uint32Array(2);
  for (const [name, field] of [
    ['asq', Asq.asqb],
    ['acq', Acq.acqb],
  ] as const) {
    field.set(words, 0, 0x12_3456_7000);
    rig.controller.write(name, words[0]!);
    rig.controller.writeHigh(name, words[1]!);
    assert.equal(both(rig, name), [...words]);
  }
});

statement('ACQ and ASQ do not share storage', '[NVMe-2.0 §3.1.3.10 ACQ]', async (rig) => {
  await rig.controller.disable();
  rig.controller.write('asq', 0x1000);
  rig.controller.write('acq', 0x2000);
  assert.is(rig.controller.read('asq'), 0x1000);
  assert.is(rig.controller.read('acq'), 0x2000);
});

for (const entries of [2, 3, 16, 1024, 4096]) {
  statement(`admin queues may have ${entries} entries`, '[NVMe-2.0 §3.1.3.8 AQA]', async (rig) => {
    await rig.enable({ adminEntries: entries });
    for (let i = 0; i < 5; i++) await rig.controllerWords();
    assert.is(Aqa.asqs.of(rig.controller.read('aqa')), entries);
  });
}

for (const kind of ['normal', 'abrupt'] as const) {
  statement(
    `a ${kind} shutdown ends with CSTS.SHST = 10b`,
    '[NVMe-2.0 §3.1.3.5 CC.SHN]',
    async (rig) => {
      await rig.controller.shutdown(kind);
      assert.is(Csts.shst.of(rig.controller.read('csts')), 2);
    },
  );

  statement(
    `after a ${kind} shutdown a controller reset makes the controller usable`,
    '[NVMe-2.0 §3.6]',
    async (rig) => {
      await rig.controller.shutdown(kind);
      await rig.enable();
      assert.is(Csts.shst.of(rig.controller.read('csts')), 0);
      await rig.controllerWords();
    },
  );
}

statement(
  'a normal shutdown clears nothing but what it says: CAP still reads',
  '[NVMe-2.0 §3.6]',
  async (rig) => {
    const before = both(rig, 'cap');
    await rig.controller.shutdown('normal');
    assert.equal(both(rig, 'cap'), before);
  },
);

statement('NSSR reads as zero', '[NVMe-2.0 §3.1.3.7 NSSR]', async (rig) => {
  rig.needs(rig.controller.cap(Cap.nssrs) === 1, 'NVM subsystem reset');
  assert.is(rig.controller.read('nssr'), 0);
});

statement(
  'a value other than "NVMe" in NSSR resets nothing',
  '[NVMe-2.0 §3.1.3.7 NSSR]',
  async (rig) => {
    rig.needs(rig.controller.cap(Cap.nssrs) === 1, 'NVM subsystem reset');
    rig.controller.write('nssr', 0x4e56_4d66);
    await rig.controller.elapse(msNs);
    assert.is(Csts.rdy.of(rig.controller.read('csts')), 1);
    await rig.controllerWords();
  },
);

statement('"NVMe" in NSSR disables the controller', '[NVMe-2.0 §3.7.1]', async (rig) => {
  await subsystemReset(rig);
  assert.is(Cc.en.of(rig.controller.read('cc')), 0);
  assert.is(Csts.rdy.of(rig.controller.read('csts')), 0);
});

statement('a subsystem reset sets CSTS.NSSRO', '[NVMe-2.0 §3.1.3.6 CSTS.NSSRO]', async (rig) => {
  await subsystemReset(rig);
  await rig.enable();
  assert.is(Csts.nssro.of(rig.controller.read('csts')), 1);
});

statement('writing 1 clears CSTS.NSSRO', '[NVMe-2.0 §3.1.3.6 CSTS.NSSRO]', async (rig) => {
  await subsystemReset(rig);
  await rig.enable();
  rig.controller.write('csts', Csts.nssro.put(0, 0));
  assert.is(Csts.nssro.of(rig.controller.read('csts')), 1);
  rig.controller.write('csts', Csts.nssro.put(0, 1));
  assert.is(Csts.nssro.of(rig.controller.read('csts')), 0);
});

statement('a controller works again after a subsystem reset', '[NVMe-2.0 §3.7.1]', async (rig) => {
  await subsystemReset(rig);
  await rig.enable();
  await rig.controllerWords();
});

statement(
  'CMBLOC and CMBSZ are zero until CMBMSC.CRE is set',
  '[NVMe-2.0 §3.1.3.12 CMBSZ]',
  async (rig) => {
    rig.needs(rig.controller.cap(Cap.cmbs) === 1, 'a controller memory buffer with CMBMSC');
    rig.controller.write('cmbmsc', 0);
    assert.equal([rig.controller.read('cmbloc'), rig.controller.read('cmbsz')], [0, 0]);
    rig.controller.write('cmbmsc', Cmbmsc.cre.put(0, 1));
    assert.ok(rig.controller.read('cmbsz') !== 0);
    rig.controller.write('cmbmsc', 0);
  },
);

statement(
  'without a persistent memory region PMRCAP is zero',
  '[NVMe-2.0 §? PMRCAP]',
  async (rig) => {
    rig.needs(rig.controller.cap(Cap.pmrs) === 0, 'absence of a persistent memory region');
    assert.is(rig.controller.read('pmrcap'), 0);
  },
);

statement('without boot partitions BPINFO is zero', '[NVMe-2.0 §? BPINFO]', async (rig) => {
  rig.needs(rig.controller.cap(Cap.bps) === 0, 'absence of boot partitions');
  assert.is(rig.controller.read('bpinfo'), 0);
});

statement(
  'a controller can be enabled and disabled twenty times',
  '[NVMe-2.0 §3.5]',
  async (rig) => {
    for (let i = 0; i < 20; i++) {
      await rig.controller.disable();
      await rig.controller.enable();
    }
    await rig.controllerWords();
  },
);

/** Write the signature, and wait until the registers answer again. */
async function subsystemReset(rig: Rig): Promise<void> {
  rig.needs(rig.controller.cap(Cap.nssrs) === 1, 'NVM subsystem reset');
  rig.controller.write('nssr', nssrReset);
  const untilNs = rig.fn.clock.nowNs() + rig.controller.readyTimeoutNs;
  await rig.controller.elapse(msNs);
  while (rig.controller.read('csts') === allOnes || rig.controller.read('csts') & 1) {
    assert.ok(rig.fn.clock.nowNs() < untilNs, 'registers answer again');
    await rig.controller.elapse(10 * msNs);
  }
  rig.fn.config.write16(0x04, rig.fn.config.read16(0x04) | 6);
}

statement.run();
