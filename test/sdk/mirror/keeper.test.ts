import * as assert from 'uvu/assert';
import type { MemoryStore } from '../../../sdk/cluster/memory-store.js';
import type { ClusterStore } from '../../../sdk/cluster/store.js';
import { type KeeperHost, RecordKeeper } from '../../../sdk/mirror/keeper.js';
import { decodeRecord, type MirrorRecord, recordKey } from '../../../sdk/mirror/record.js';
import { Timers } from '../../../sdk/mirror/timers.js';
import { suite } from '../../support/suite.js';
import { Rig, volumeId } from './rig.js';

const test = suite('the record of a mirror');

/** Commits wait until they are let go. */
function slowly(store: MemoryStore): { store: ClusterStore; letGo: () => void } {
  const waiting: (() => void)[] = [];
  const commit: ClusterStore['commit'] = async (...words) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return store.commit(...words);
  };
  const letGo = (): void => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  return { store: Object.assign(Object.create(store), { commit }), letGo };
}

async function aWhile(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test('it is settled when what a commit under way asked for is undone, too', async () => {
  const rig = new Rig();
  await rig.create(0, 1);
  const entry = (await rig.store.read(recordKey(volumeId)))!;
  const record = decodeRecord(entry.value, volumeId);
  const { store, letGo } = slowly(rig.store);
  const inStore = async (): Promise<MirrorRecord> =>
    decodeRecord((await rig.store.read(recordKey(volumeId)))!.value, volumeId);
  let writer: string | null = 'somebody';
  const nothing = (): void => {};
  const host: KeeperHost = {
    wanted: (known) => (known.writer === writer ? known : { ...known, writer }),
    ...{ noted: nothing, confirmed: nothing, dethroned: nothing, silent: nothing },
  };
  const { clock } = rig;
  const options = { store, clock, timers: new Timers(), leaseNs: 1e9, retryNs: 1e6 };
  const keeper = new RecordKeeper({ record, revision: entry.revision }, options, host);
  keeper.kick();
  await aWhile();
  // As a member that was about to be listed, and has failed since.
  writer = record.writer;
  let isSettled = false;
  const settled = keeper.settled().then(() => {
    isSettled = true;
  });
  await aWhile();
  assert.not.ok(isSettled, 'the commit may be applied yet');
  letGo();
  await aWhile();
  assert.is((await inStore()).writer, 'somebody');
  assert.not.ok(isSettled, 'the store has what is not wanted');
  letGo();
  await settled;
  assert.is((await inStore()).writer, record.writer);
});

test.run();
