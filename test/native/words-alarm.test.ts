import * as assert from 'uvu/assert';
import type { NativeKernel } from '../../native/kernel.js';
import { loadAddon } from '../../native/load.js';
import { SharedMemory } from '../../native/shared-memory.js';
import { WordsAlarm } from '../../native/words-alarm.js';
import { skip, suite } from '../support/suite.js';

const test = suite('an alarm on words in shared memory');
const loaded = loadAddon();

interface Place {
  readonly kernel: NativeKernel;
  readonly memory: SharedMemory;
  readonly words: Uint32Array;
  readonly seen: Uint32Array;
}

function statement(title: string, body: (place: Place) => Promise<void>): void {
  test(title, async () => {
    const { kernel } = loaded;
    if (kernel === null) return skip(`native addon: ${loaded.unavailableReason}`);
    const memory = new SharedMemory(kernel, 'words', 4096);
    const words = new Uint32Array(memory.buffer, 1024, 8);
    await body({ kernel, memory, words, seen: new Uint32Array(8) });
    memory.close();
  });
}

/** An alarm, and the promise of its next call. */
class Listener {
  count = 0;
  readonly alarm: WordsAlarm;
  private heard: () => void = () => {};

  constructor({ kernel, words, seen }: Place) {
    this.alarm = new WordsAlarm(kernel, words, seen, () => {
      this.alarm.silence();
      this.count++;
      this.heard();
    });
  }

  /** Its watcher keeps no process alive, so a timer has to. */
  next(change: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('it did not call back')), 5000);
      this.heard = () => {
        clearTimeout(timer);
        resolve();
      };
      change();
    });
  }
}

statement('a word that changes while it is armed calls back', async (place) => {
  const listener = new Listener(place);
  listener.alarm.arm(0);
  await listener.next(() => {
    place.words[7] = 1;
  });
  assert.is(listener.count, 1);
  listener.alarm.close();
});

statement('a word that changed before it was armed calls back, too', async (place) => {
  const listener = new Listener(place);
  place.words[0] = 5;
  await listener.next(() => listener.alarm.arm(60_000));
  listener.alarm.close();
});

statement('it calls back in each turn of the event loop until it is silent', async (place) => {
  const { kernel, words, seen } = place;
  let count = 0;
  const alarm = new WordsAlarm(kernel, words, seen, () => {
    count++;
    if (count % 3 === 0) alarm.silence();
  });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  alarm.ring();
  for (let i = 0; i < 10; i++) await turn();
  assert.is(count, 3);
  alarm.ring();
  alarm.ring();
  for (let i = 0; i < 10; i++) await turn();
  assert.is(count, 6, 'twice is as once');
  alarm.close();
});

statement('it calls back once for each time that it is armed', async (place) => {
  const listener = new Listener(place);
  // The thread looks at both; what it did not tell the first of is not told.
  const other = new Listener(place);
  place.words[0] = 5;
  await listener.next(() => listener.alarm.arm(0));
  await other.next(() => other.alarm.arm(0));
  await other.next(() => other.alarm.arm(0));
  assert.is(listener.count, 1);
  assert.is(other.count, 2);
  await listener.next(() => listener.alarm.arm(0));
  assert.is(listener.count, 2);
  for (const { alarm } of [listener, other]) alarm.close();
});

statement('what was seen meanwhile is no change', async (place) => {
  const { words, seen } = place;
  const [known, changed] = [
    new Listener(place),
    new Listener({ ...place, seen: new Uint32Array(8) }),
  ];
  words[3] = 9;
  seen[3] = 9;
  known.alarm.arm(0);
  await changed.next(() => changed.alarm.arm(0));
  await changed.next(() => changed.alarm.arm(0));
  assert.is(known.count, 0);
  for (const { alarm } of [known, changed]) alarm.close();
});

statement('memory that goes right after it was closed is not looked at', async (place) => {
  const { kernel, seen } = place;
  for (let i = 0; i < 100; i++) {
    const memory = new SharedMemory(kernel, 'words', 4096);
    const words = new Uint32Array(memory.buffer, 0, 8);
    const { alarm } = new Listener({ ...place, words, seen });
    alarm.arm(0);
    alarm.close();
    memory.close();
  }
});

statement('a closed alarm can be armed and closed again, and does nothing', async (place) => {
  const listener = new Listener(place);
  listener.alarm.close();
  listener.alarm.close();
  listener.alarm.arm(0);
  const other = new Listener(place);
  await other.next(() => {
    place.words[0] = 1;
    other.alarm.arm(0);
  });
  assert.is(listener.count, 0);
  other.alarm.close();
});

statement('words and what was seen of them have one length', async ({ kernel, words }) => {
  const make = () => new WordsAlarm(kernel, words, new Uint32Array(7), () => {});
  assert.throws(make, /8 words and 7 that were seen/);
});

test.run();
