import * as assert from 'uvu/assert';
import { MemoryStore } from '../../../sdk/cluster/memory-store.js';
import { suite } from '../../support/suite.js';
import { Seen, statementsOfStores } from './contract.js';

const test = suite('cluster store in memory');

class StepClock {
  private now = 0;

  nowNs(): number {
    return this.now;
  }

  pass(ms: number): void {
    this.now += ms * 1e6;
  }
}

statementsOfStores(test, async () => {
  const clock = new StepClock();
  const store = new MemoryStore(clock);
  return {
    store,
    pass: async (ms) => {
      clock.pass(ms);
      store.expire();
    },
    close: () => store.close(),
  };
});

test('a lease that is kept alive does not end', async () => {
  const clock = new StepClock();
  const store = new MemoryStore(clock);
  const lease = await store.grantLease(1_000);
  await store.commit([], [{ key: 'n', value: new Uint8Array(1), lease }]);
  for (let i = 0; i < 10; i++) {
    clock.pass(999);
    await lease.keepAlive();
  }
  assert.is.not(await store.read('n'), null);
  clock.pass(1_000);
  assert.is(await store.read('n'), null);
});

test('a watch that begins after changes were forgotten is told to list again', async () => {
  const store = new MemoryStore(new StepClock());
  for (let i = 0; i <= 10_000; i++) {
    await store.commit([], [{ key: 'n', value: new Uint8Array(1) }]);
  }
  const late = new Seen();
  store.watch('n', 0, late);
  const failure = await late.failure;
  assert.match(failure.message, /after revision 0 are forgotten up to 1;/);
  const inTime = new Seen();
  store.watch('n', 1, inTime);
  await inTime.until(10_000);
  assert.is(inTime.events[0]?.revision, 2);
});

test.run();
