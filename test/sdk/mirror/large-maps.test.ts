import * as assert from 'uvu/assert';
import { bytesOf, hexOf } from '../../../sdk/mirror/member-header.js';
import type { Mirror } from '../../../sdk/mirror/mirror.js';
import { createMirror } from '../../../sdk/mirror/options.js';
import type { MemberPort } from '../../../sdk/mirror/port.js';
import { msNs } from '../../../sdk/units.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { clusterId, idOf, Rig, volumeId } from './rig.js';

/** A region for each block: the map has 64 KiB, and 128 Ki digits, which may take 128 ms. */
const geometry = { blockBytes: 512, blockCount: 2 ** 19, regionBlocks: 1 };
const answerNs = 50 * msNs;

async function rigOfTwo(): Promise<Rig> {
  const rig = new Rig();
  for (const index of [0, 1]) {
    const devices = { meta: rig.device(512), data: rig.device(geometry.blockCount) };
    await rig.add(index, { devices, regionBlocks: 1, isBlank: true });
  }
  await createMirror(rig.store, { clusterId, volumeId, memberIds: [0, 1].map(idOf), ...geometry });
  return rig;
}

/** A member whose answers come after so long. */
function slow(rig: Rig, index: number, ns: number): MemberPort {
  const { id, isLocal, connect } = rig.port(index);
  return {
    ...{ id, isLocal },
    connect: async () => {
      const association = await connect();
      const control = association.control.bind(association);
      association.control = async (message) => {
        const untilNs = rig.clock.nowNs() + ns;
        while (rig.clock.nowNs() < untilNs) await rig.clock.turn(untilNs);
        return control(message);
      };
      return association;
    },
  };
}

function attach(rig: Rig, ns: number): Promise<Mirror> {
  return rig.attach({ ports: [rig.port(0), slow(rig, 1, ns)], answerNs });
}

const test = suite('maps of large volumes');

test('the digits of a map are its bytes', () => {
  const prng = new Prng(1, 'map');
  const bytes = new Uint8Array(1000).map(() => prng.below(256));
  const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  assert.is(hexOf(bytes), digits);
  assert.is(hexOf(bytes.subarray(3, 9)), digits.slice(6, 18));
  assert.equal(bytesOf(digits), bytes);
});

test('a take-over waits for a large map as long as it takes on a slow network', async () => {
  const mirror = await attach(await rigOfTwo(), 150 * msNs);
  assert.is(mirror.status.state, 'serving');
});

test('and no longer', async () => {
  const rig = await rigOfTwo();
  const mirror = await attach(rig, 200 * msNs);
  assert.is(mirror.status.state, 'degraded');
  assert.ok(rig.clock.nowNs() < 1000 * msNs);
});

test.run();
