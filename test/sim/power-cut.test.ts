import * as assert from 'uvu/assert';
import { UltimaError } from '../../sdk/errors.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import type { Namespace } from '../../sdk/nvme/namespace.js';
import type { SimCard } from '../../sim/card.js';
import { openSimulated } from '../../sim/open.js';
import { suite } from '../support/suite.js';

/**
 * The power goes at every event of a short life in turn. What always holds afterwards: the card
 * comes up again, every command of before has ended, what a flush had covered is there, and a block
 * holds one whole version of what was written to it.
 */
const test = suite('power cut');
const address =
  'sim:simple?bytes=1MiB&lbaFormat=2&firmware.bootNs=1000&cache.bytes=1048576' +
  '&controller.queuePairs=2&controller.queueEntries=16';

const blockBytes = 4096;
const blocks = 4;

/** What a host knows of its writes: versions that ended well, that were flushed, that were sent. */
class Ledger {
  readonly sent = new Int32Array(blocks);
  readonly written = new Int32Array(blocks);
  readonly flushed = new Int32Array(blocks);
  hasFinished = false;
}

function block(lba: number, version: number): Uint8Array {
  const words = new Uint32Array(blockBytes / 4).fill(version * 0x100 + lba);
  return new Uint8Array(words.buffer);
}

async function life(card: SimCard, ledger: Ledger): Promise<void> {
  const controller = await NvmeController.open(card.open(), {
    queueEntries: 16,
    commandTimeoutNs: 1_000_000_000,
    adminTimeoutNs: 1_000_000_000,
  });
  try {
    const namespace = await controller.namespace(1);
    for (let version = 1; version <= 3; version++) {
      await Promise.all(
        Array.from({ length: blocks }, (_, lba) => write(namespace, ledger, lba, version)),
      );
      if (version < 3) await flush(namespace, ledger);
    }
    ledger.hasFinished = true;
  } finally {
    await controller.close();
  }
}

async function write(namespace: Namespace, ledger: Ledger, lba: number, version: number) {
  ledger.sent[lba] = version;
  await namespace.write(lba, block(lba, version));
  ledger.written[lba] = version;
}

async function flush(namespace: Namespace, ledger: Ledger): Promise<void> {
  const covered = ledger.written.slice();
  await namespace.flush();
  ledger.flushed.set(covered);
}

/** @returns how the life ended, '' when it was not disturbed */
async function cutAt(eventNumber: number): Promise<string> {
  const card = openSimulated(address);
  const ledger = new Ledger();
  card.powerCutAtEvent(eventNumber);
  let code = '';
  await life(card, ledger).catch((error: unknown) => {
    if (!(error instanceof UltimaError)) throw error;
    code = error.code;
  });
  await card.function.close();
  card.powerCut();
  card.restore();
  card.world.advance(1000);
  const controller = await NvmeController.open(card.open(), { queueEntries: 16 });
  const namespace = await controller.namespace(1);
  for (let lba = 0; lba < blocks; lba++) await check(namespace, ledger, lba);
  card.checker.demandNone();
  await controller.close();
  return code;
}

async function check(namespace: Namespace, ledger: Ledger, lba: number): Promise<void> {
  const bytes = new Uint8Array(blockBytes);
  await namespace.read(lba, bytes);
  const words = new Uint32Array(bytes.buffer);
  const first = words[0]!;
  const version = first >>> 8;
  assert.ok(
    words.every((word) => word === first),
    `block ${lba} is torn`,
  );
  assert.ok(version === 0 || (first & 0xff) === lba, `block ${lba} holds another one's data`);
  assert.ok(version >= ledger.flushed[lba]!, `block ${lba} lost a version that was flushed`);
  assert.ok(version <= ledger.sent[lba]!, `block ${lba} holds a version that was never sent`);
}

async function undisturbed(): Promise<{ events: number; hash: string }> {
  const card = openSimulated(address);
  const ledger = new Ledger();
  await life(card, ledger);
  assert.ok(ledger.hasFinished);
  card.checker.demandNone();
  return { events: card.world.eventCount, hash: card.world.eventHash };
}

test('two lives without a cut have the same events', async () => {
  assert.equal(await undisturbed(), await undisturbed());
});

test('after a cut at any event the card comes up with what was flushed', async () => {
  const { events } = await undisturbed();
  assert.ok(events > 50, `${events} events`);
  const codes = new Map<string, number>();
  for (let n = 0; n < events; n++) {
    const code = await cutAt(n).catch((error: unknown) => {
      throw new Error(`cut at event ${n} of ${events}: ${String(error)}`, { cause: error });
    });
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  assert.ok((codes.get('') ?? 0) < events / 2, 'cuts that nobody noticed');
});

test.run();
