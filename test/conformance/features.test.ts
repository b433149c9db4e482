import * as assert from 'uvu/assert';
import { FeatureCapabilities, FeatureSelect } from '../../sdk/spec/nvme/admin-command.js';
import {
  ArbitrationFeature,
  AtomicityFeature,
  CoalescingFeature,
  ErrorRecoveryFeature,
  Feature,
  PowerManagementFeature,
  QueueCountFeature,
  queueCountForbidden,
  TemperatureFeature,
  TimestampData,
  TimestampOrigin,
  VectorFeature,
  WriteCacheFeature,
} from '../../sdk/spec/nvme/features.js';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { msNs } from '../../sdk/units.js';
import { statements } from './statement.js';

const statement = statements('features');

const getCite = '[NVMe-2.0 §5.15 Get Features]';
const setCite = '[NVMe-2.0 §5.27 Set Features]';

const select = async (rig: Rig): Promise<void> => {
  rig.needs((await rig.id(IdentifyController.oncsSaveSelect)) === 1, 'Save and Select in features');
};

/** A feature may be one that cannot be changed: its capabilities say so. */
async function changeable(rig: Rig, fid: number, name: string): Promise<void> {
  if ((await rig.id(IdentifyController.oncsSaveSelect)) === 0) return;
  const nsid = nsidFor(fid);
  const { dw0 } = rig.succeeded(
    await rig.getFeature({ fid, nsid, select: FeatureSelect.capabilities }),
  );
  rig.needs(FeatureCapabilities.changeable.of(dw0) === 1, `a change of ${name}`);
}

/** Features that every I/O controller has [NVMe-2.0 §3.1.2.1 Feature Support Requirements]. */
const mandatory = [
  ['Arbitration', Feature.arbitration],
  ['Power Management', Feature.powerManagement],
  ['Temperature Threshold', Feature.temperatureThreshold],
  ['Error Recovery', Feature.errorRecovery],
  ['Number of Queues', Feature.numberOfQueues],
  ['Interrupt Coalescing', Feature.interruptCoalescing],
  ['Interrupt Vector Configuration', Feature.interruptVector],
  ['Write Atomicity Normal', Feature.writeAtomicity],
  ['Asynchronous Event Configuration', Feature.asynchronousEvents],
] as const;

/** Error Recovery and Write Atomicity belong to a namespace or to the controller by version. */
const nsidFor = (fid: number): number => (fid === Feature.errorRecovery ? 1 : 0);

for (const [name, fid] of mandatory) {
  statement(`${name} can be read`, '[NVMe-2.0 §3.1.2.1]', async (rig) => {
    rig.succeeded(await rig.getFeature({ fid, nsid: nsidFor(fid) }));
  });

  statement(`${name} has a default value`, getCite, async (rig) => {
    await select(rig);
    const completion = await rig.getFeature({
      fid,
      nsid: nsidFor(fid),
      select: FeatureSelect.default,
    });
    rig.succeeded(completion);
  });

  statement(`${name} says what can be done with it`, getCite, async (rig) => {
    await select(rig);
    const { dw0 } = rig.succeeded(
      await rig.getFeature({ fid, nsid: nsidFor(fid), select: FeatureSelect.capabilities }),
    );
    assert.is(dw0 & 0xffff_fff8, 0, 'reserved bits are zero');
  });
}

for (const fid of [Feature.numberOfQueues, Feature.asynchronousEvents]) {
  statement(`feature ${fid}h is changeable`, getCite, async (rig) => {
    await select(rig);
    const { dw0 } = rig.succeeded(
      await rig.getFeature({ fid, select: FeatureSelect.capabilities }),
    );
    assert.is(FeatureCapabilities.changeable.of(dw0), 1);
  });
}

for (const fid of [0x00, 0x70, 0x7c]) {
  statement(`the reserved feature ${fid.toString(16)}h cannot be read`, getCite, async (rig) => {
    rig.refused(await rig.getFeature({ fid }), Status.invalidField);
  });
  statement(`the reserved feature ${fid.toString(16)}h cannot be set`, setCite, async (rig) => {
    rig.refused(await rig.setFeature({ fid }), Status.invalidField);
  });
}

statement('a feature that is not changeable cannot be set', setCite, async (rig) => {
  await select(rig);
  for (const [, fid] of mandatory) {
    const nsid = nsidFor(fid);
    const { dw0 } = rig.succeeded(
      await rig.getFeature({ fid, nsid, select: FeatureSelect.capabilities }),
    );
    if (FeatureCapabilities.changeable.of(dw0) === 1) continue;
    rig.refused(await rig.setFeature({ fid, nsid }), Status.featureNotChangeable);
  }
});

statement('a feature that is not saveable cannot be saved', setCite, async (rig) => {
  await select(rig);
  const fid = Feature.numberOfQueues;
  const { dw0 } = rig.succeeded(await rig.getFeature({ fid, select: FeatureSelect.capabilities }));
  rig.needs(FeatureCapabilities.saveable.of(dw0) === 0, 'a Number of Queues that is not saveable');
  const completion = await rig.setFeature({ fid, value: 0, save: true });
  rig.refused(completion, Status.featureNotSaveable);
});

for (const [title, fid, value] of [
  ['arbitration weights', Feature.arbitration, 0x0403_0203],
  ['interrupt coalescing', Feature.interruptCoalescing, 0x0305],
  ['asynchronous event configuration', Feature.asynchronousEvents, 0x0000_000f],
] as const) {
  statement(`${title} read back as they were set`, setCite, async (rig) => {
    await changeable(rig, fid, title);
    rig.succeeded(await rig.setFeature({ fid, value }));
    assert.is(rig.succeeded(await rig.getFeature({ fid })).dw0, value);
  });

  statement(
    `${title} return to their default with a controller reset`,
    '[NVMe-2.0 §? Features and resets]',
    async (rig) => {
      await select(rig);
      await changeable(rig, fid, title);
      const { dw0: capabilities } = rig.succeeded(
        await rig.getFeature({ fid, select: FeatureSelect.capabilities }),
      );
      const saved = rig.succeeded(await rig.getFeature({ fid, select: FeatureSelect.saved })).dw0;
      const initial = rig.succeeded(
        await rig.getFeature({ fid, select: FeatureSelect.default }),
      ).dw0;
      rig.succeeded(await rig.setFeature({ fid, value }));
      await rig.enable();
      const isSaveable = FeatureCapabilities.saveable.of(capabilities) === 1;
      assert.is(rig.succeeded(await rig.getFeature({ fid })).dw0, isSaveable ? saved : initial);
    },
  );

  statement(`setting ${title} does not change their default`, getCite, async (rig) => {
    await select(rig);
    await changeable(rig, fid, title);
    const initial = async () =>
      rig.succeeded(await rig.getFeature({ fid, select: FeatureSelect.default })).dw0;
    const before = await initial();
    rig.succeeded(await rig.setFeature({ fid, value }));
    assert.is(await initial(), before);
  });
}

statement(
  'arbitration burst 111b, no limit, is accepted',
  '[NVMe-2.0 §5.27.1.1 Arbitration]',
  async (rig) => {
    await changeable(rig, Feature.arbitration, 'arbitration');
    rig.succeeded(await rig.setFeature({ fid: Feature.arbitration, value: 7 }));
    assert.is(await rig.feature(Feature.arbitration, ArbitrationFeature.ab), 7);
  },
);

statement(
  'the controller is in a power state that it has',
  '[NVMe-2.0 §5.27.1.2 Power Management]',
  async (rig) => {
    const state = await rig.feature(Feature.powerManagement, PowerManagementFeature.ps);
    assert.ok(state < (await rig.id(IdentifyController.npss)));
  },
);

statement(
  'every power state can be entered, and left for state 0',
  '[NVMe-2.0 §5.27.1.2 Power Management]',
  async (rig) => {
    await changeable(rig, Feature.powerManagement, 'the power state');
    const fid = Feature.powerManagement;
    for (let value = (await rig.id(IdentifyController.npss)) - 1; value >= 0; value--) {
      rig.succeeded(await rig.setFeature({ fid, value }));
      assert.is(await rig.feature(fid, PowerManagementFeature.ps), value);
    }
  },
);

statement(
  'a power state beyond NPSS is refused',
  '[NVMe-2.0 §5.27.1.2 Power Management]',
  async (rig) => {
    await changeable(rig, Feature.powerManagement, 'the power state');
    const value = await rig.id(IdentifyController.npss);
    rig.needs(value <= 31, 'a power state number that is free');
    rig.refused(await rig.setFeature({ fid: Feature.powerManagement, value }), Status.invalidField);
  },
);

statement(
  'the over temperature threshold reads back',
  '[NVMe-2.0 §5.27.1.3 Temperature Threshold]',
  async (rig) => {
    const fid = Feature.temperatureThreshold;
    const value = TemperatureFeature.tmpth.put(0, 400);
    rig.succeeded(await rig.setFeature({ fid, value }));
    assert.is(await rig.feature(fid, TemperatureFeature.tmpth), 400);
  },
);

statement(
  'a reserved threshold type is refused',
  '[NVMe-2.0 §5.27.1.3 Temperature Threshold]',
  async (rig) => {
    const value = TemperatureFeature.thsel.put(TemperatureFeature.tmpth.put(0, 400), 3);
    rig.refused(
      await rig.setFeature({ fid: Feature.temperatureThreshold, value }),
      Status.invalidField,
    );
  },
);

statement(
  'the time limit of error recovery reads back',
  '[NVM-1.0 §4.1.3.2 Error Recovery]',
  async (rig) => {
    await changeable(rig, Feature.errorRecovery, 'error recovery');
    const { nsid } = await rig.namespace();
    const fid = Feature.errorRecovery;
    const value = ErrorRecoveryFeature.tler.put(0, 50);
    rig.succeeded(await rig.setFeature({ fid, nsid, value }));
    assert.is(await rig.feature(fid, ErrorRecoveryFeature.tler, { nsid }), 50);
  },
);

statement(
  'a volatile write cache can be turned off and on',
  '[NVMe-2.0 §5.27.1.4 Volatile Write Cache]',
  async (rig) => {
    rig.needs((await rig.id(IdentifyController.vwcPresent)) === 1, 'a volatile write cache');
    const fid = Feature.volatileWriteCache;
    for (const value of [0, 1]) {
      rig.succeeded(await rig.setFeature({ fid, value }));
      assert.is(await rig.feature(fid, WriteCacheFeature.wce), value);
    }
  },
);

statement(
  'without a volatile write cache its feature cannot be set',
  '[NVMe-2.0 §5.27.1.4 Volatile Write Cache]',
  async (rig) => {
    rig.needs((await rig.id(IdentifyController.vwcPresent)) === 0, 'absence of a write cache');
    const completion = await rig.setFeature({ fid: Feature.volatileWriteCache, value: 1 });
    rig.refused(completion, Status.invalidField);
  },
);

const queuesCite = '[NVMe-2.0 §5.27.1.5 Number of Queues]';

statement('at least one queue pair is granted', queuesCite, async (rig) => {
  assert.ok((await rig.queueCount()) >= 1);
});

statement('Number of Queues reads what was granted', queuesCite, async (rig) => {
  const value = QueueCountFeature.ncq.put(QueueCountFeature.nsq.put(0, 2), 2);
  const { dw0 } = rig.succeeded(await rig.setFeature({ fid: Feature.numberOfQueues, value }));
  assert.is(rig.succeeded(await rig.getFeature({ fid: Feature.numberOfQueues })).dw0, dw0);
});

for (const field of ['nsq', 'ncq'] as const) {
  statement(`FFFFh queues (${field}) cannot be asked for`, queuesCite, async (rig) => {
    const value = QueueCountFeature[field].put(0, queueCountForbidden);
    rig.refused(await rig.setFeature({ fid: Feature.numberOfQueues, value }), Status.invalidField);
  });
}

statement('the number of queues cannot change once a queue exists', queuesCite, async (rig) => {
  await rig.queuePair({ entries: 4 });
  const completion = await rig.setFeature({ fid: Feature.numberOfQueues, value: 0 });
  rig.refused(completion, Status.commandSequenceError);
});

statement(
  'interrupt coalescing is off at first',
  '[NVMe-2.0 §5.27.1.6 Interrupt Coalescing]',
  async (rig) => {
    await changeable(rig, Feature.interruptCoalescing, 'interrupt coalescing');
    assert.is(await rig.feature(Feature.interruptCoalescing, CoalescingFeature.time), 0);
  },
);

statement(
  'coalescing of a vector can be disabled',
  '[NVMe-2.0 §5.27.1.7 Interrupt Vector Configuration]',
  async (rig) => {
    await changeable(rig, Feature.interruptVector, 'vector configuration');
    rig.needs(rig.fn.interrupts.vectorCount >= 2, 'two interrupt vectors');
    rig.fn.interrupts.enable(2);
    await rig.queuePair({ entries: 4, vector: 1 });
    const fid = Feature.interruptVector;
    for (const disabled of [1, 0]) {
      const value = VectorFeature.cd.put(VectorFeature.iv.put(0, 1), disabled);
      rig.succeeded(await rig.setFeature({ fid, value }));
      const { dw0 } = rig.succeeded(await rig.getFeature({ fid, value: 1 }));
      assert.is(VectorFeature.iv.of(dw0), 1);
      assert.is(VectorFeature.cd.of(dw0), disabled);
    }
  },
);

statement(
  'a vector that does not exist cannot be configured',
  '[NVMe-2.0 §5.27.1.7 Interrupt Vector Configuration]',
  async (rig) => {
    await changeable(rig, Feature.interruptVector, 'vector configuration');
    const fid = Feature.interruptVector;
    rig.refused(await rig.setFeature({ fid, value: 0xffff }), Status.invalidField);
  },
);

statement(
  'normal write atomicity can be disabled',
  '[NVM-1.0 §? Write Atomicity Normal]',
  async (rig) => {
    await changeable(rig, Feature.writeAtomicity, 'write atomicity');
    const fid = Feature.writeAtomicity;
    for (const value of [1, 0]) {
      rig.succeeded(await rig.setFeature({ fid, value }));
      assert.is(await rig.feature(fid, AtomicityFeature.dn), value);
    }
  },
);

/** The 48 bits of milliseconds of a timestamp. */
const millisecondsOf = (words: Uint32Array): number =>
  TimestampData.high.get(words, 0) * 2 ** 32 + TimestampData.low.get(words, 0);

statement(
  'a timestamp that was set is read back, and says so',
  '[NVMe-2.0 §? Timestamp]',
  async (rig) => {
    rig.needs((await rig.id(IdentifyController.oncsTimestamp)) === 1, 'a timestamp');
    const data = rig.buffer(8, { kind: 'zeroes' });
    TimestampData.low.set(data.words, 0, 0x1234_5678);
    TimestampData.high.set(data.words, 0, 0x019a);
    const set = millisecondsOf(data.words);
    rig.succeeded(await rig.setFeature({ fid: Feature.timestamp, data }));
    const back = rig.buffer(8);
    rig.succeeded(await rig.getFeature({ fid: Feature.timestamp, data: back }));
    assert.is(TimestampData.origin.get(back.words, 0), TimestampOrigin.setByHost);
    const passed = millisecondsOf(back.words) - set;
    assert.ok(passed >= 0 && passed < 5000);
  },
);

statement('a timestamp advances with time', '[NVMe-2.0 §? Timestamp]', async (rig) => {
  rig.needs((await rig.id(IdentifyController.oncsTimestamp)) === 1, 'a timestamp');
  const read = async () => {
    const data = rig.buffer(8);
    rig.succeeded(await rig.getFeature({ fid: Feature.timestamp, data }));
    return millisecondsOf(data.words);
  };
  const before = await read();
  await rig.controller.elapse(50 * msNs);
  const passed = (await read()) - before;
  assert.ok(passed >= 45 && passed < 5000);
});

statement(
  'a keep alive timeout reads back at its granularity or above',
  '[NVMe-2.0 §5.27.1.12 Keep Alive Timer]',
  async (rig) => {
    const granularityMs = (await rig.id(IdentifyController.kas)) * 100;
    rig.needs(granularityMs !== 0, 'keep alive');
    rig.succeeded(await rig.setFeature({ fid: Feature.keepAlive, value: 60_000 }));
    const { dw0 } = rig.succeeded(await rig.getFeature({ fid: Feature.keepAlive }));
    assert.ok(dw0 >= 60_000 && dw0 < 60_000 + granularityMs);
    rig.succeeded(await rig.setFeature({ fid: Feature.keepAlive, value: 0 }));
  },
);

statement('reserved values of Select are refused', getCite, async (rig) => {
  await select(rig);
  const completion = await rig.getFeature({ fid: Feature.arbitration, select: 7 });
  rig.refused(completion, Status.invalidField);
});

statement('a host identifier reads back', '[NVMe-2.0 §? Host Identifier]', async (rig) => {
  const fid = Feature.hostIdentifier;
  rig.needs((await rig.id(IdentifyController.oncsReservations)) === 1, 'a host identifier');
  rig.needs((await rig.id(IdentifyController.ctrattHostId128)) === 1, '128-bit host identifiers');
  const data = rig.buffer(16, { kind: 'counting', first: 0x1111 });
  rig.succeeded(await rig.setFeature({ fid, value: 1, data }));
  const back = rig.buffer(16);
  rig.succeeded(await rig.getFeature({ fid, value: 1, data: back }));
  assert.ok(back.equals(data));
});

statement.run();
