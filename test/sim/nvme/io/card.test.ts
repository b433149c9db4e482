import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { NvmeController } from '../../../../sdk/nvme/controller.js';
import { commandDwords, Sqe } from '../../../../sdk/spec/nvme/command.js';
import { Feature } from '../../../../sdk/spec/nvme/features.js';
import { ErrorEntry } from '../../../../sdk/spec/nvme/logs.js';
import { Read, Write } from '../../../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import {
  Cc,
  Csts,
  Register,
  ShutdownNotification,
  ShutdownStatus,
} from '../../../../sdk/spec/nvme/registers.js';
import { Status, statusKind } from '../../../../sdk/spec/nvme/status.js';
import { openSimulated } from '../../../../sim/open.js';
import { CardHost } from '../../../support/card-host.js';
import { nvmeStatusOf } from '../../../support/nvme-status.js';
import { suite } from '../../../support/suite.js';

const test = suite('I/O over real queues');

interface CutResult {
  readonly tags: readonly number[];
  /** Endings of the five commands, null for those that did not end. */
  readonly endings: readonly (number | null)[];
  readonly wasCut: boolean;
}

/** A write of eight blocks, a flush, one with FUA, two more; the cut comes before event `at`. */
function runCut(seed: number, at: number): CutResult {
  const query = 'bytes=1MiB&subsystem.atomicPowerFailBlocks=2';
  const card = openSimulated(`sim:simple?${query}&seed=${seed}`);
  const host = new CardHost(card);
  assert.ok(host.enable(1));
  const region = host.fn.dma.allocate(5 * 4096);
  const send = (opcode: number, place: { lba: number; count: number; tag: number }, fua = 0) => {
    const words = new Uint32Array(commandDwords);
    const { lba, count, tag } = place;
    region.bytes.fill(tag, tag * 4096, tag * 4096 + count * 512);
    Sqe.opc.set(words, 0, opcode);
    Sqe.nsid.set(words, 0, 1);
    Sqe.prp1.set(words, 0, region.iova + tag * 4096);
    if (opcode === NvmOpcode.write) {
      Write.slba.set(words, 0, lba);
      Write.nlb.set(words, 0, count);
      Write.fua.set(words, 0, fua);
    }
    const sent = host.post(1, words);
    assert.ok(sent !== null);
    host.ring(1);
    return sent;
  };
  card.powerCutAtEvent(card.world.eventCount + at);
  const first = send(NvmOpcode.write, { lba: 0, count: 8, tag: 1 });
  host.until(() => first.ended !== null || host.isGone, 1_000_000);
  const all = [first];
  for (const step of [
    () => send(NvmOpcode.flush, { lba: 0, count: 0, tag: 0 }),
    () => send(NvmOpcode.write, { lba: 8, count: 2, tag: 2 }, 1),
    () => send(NvmOpcode.write, { lba: 0, count: 8, tag: 3 }),
    () => send(NvmOpcode.write, { lba: 8, count: 2, tag: 4 }),
  ]) {
    if (host.isGone) break;
    const sent = step();
    all.push(sent);
    host.until(() => sent.ended !== null || host.isGone, 1_000_000);
  }
  const wasCut = host.isGone;
  const endings = all.map((sent) => sent.ended?.status ?? null);
  if (!wasCut) return { tags: [], endings, wasCut };
  card.restore();
  assert.ok(host.enable(1));
  const words = new Uint32Array(commandDwords);
  Sqe.opc.set(words, 0, NvmOpcode.read);
  Sqe.nsid.set(words, 0, 1);
  Sqe.prp1.set(words, 0, region.iova);
  Sqe.prp2.set(words, 0, region.iova + 4096);
  Read.nlb.set(words, 0, 10);
  assert.is(host.run(1, words)?.status, 0);
  const tags = Array.from({ length: 10 }, (_, lba) => {
    const block = region.bytes.subarray(lba * 512, (lba + 1) * 512);
    assert.ok(block.every((byte) => byte === block[0]));
    return block[0]!;
  });
  return { tags, endings, wasCut };
}

test('the power may go before any event: what was durable is there, units are whole', () => {
  let cuts = 0;
  let torn = 0;
  for (let seed = 1; seed <= 8; seed++) {
    for (let at = 0; ; at++) {
      const result = runCut(seed, at);
      if (!result.wasCut) break;
      checkCut(result, `seed ${seed}, cut before event ${at}`);
      if (new Set(result.tags.slice(0, 8)).size > 1) torn++;
      cuts++;
    }
  }
  assert.ok(cuts > 150, `${cuts} cuts`);
  assert.ok(torn > 0, 'a write above the unit was torn by some cut');
});

function checkCut({ tags, endings }: CutResult, where: string): void {
  const text = `${where}: ${tags.join()} after ${endings.join()}`;
  for (const ending of endings) assert.ok(ending === 0 || ending === null, text);
  const first = endings[1] === 0 ? [1, 3] : [0, 1];
  for (let unit = 0; unit < 4; unit++) {
    assert.is(tags[2 * unit], tags[2 * unit + 1], text);
    assert.ok(first.includes(tags[2 * unit]!), text);
  }
  assert.is(tags[8], tags[9], text);
  assert.ok((endings[2] === 0 ? [2, 4] : [0, 2]).includes(tags[8]!), text);
}

const pages = (tag: number, count = 1) => new Uint8Array(4096 * count).fill(tag);

async function opened(query: string) {
  const card = openSimulated(`sim:simple?${query}`);
  const controller = await NvmeController.open(card.open());
  return { card, controller, namespace: await controller.namespace(1) };
}

test('a write that completes during a shutdown is durable when the shutdown is', () => {
  for (let seed = 1; seed <= 12; seed++) {
    const host = new CardHost(openSimulated(`sim:simple?bytes=1MiB&seed=${seed}`));
    assert.ok(host.enable(1));
    const region = host.fn.dma.allocate(4096);
    const words = new Uint32Array(commandDwords);
    Sqe.opc.set(words, 0, NvmOpcode.write);
    Sqe.nsid.set(words, 0, 1);
    Sqe.prp1.set(words, 0, region.iova);
    Write.nlb.set(words, 0, 1);
    region.bytes.fill(6, 0, 512);
    const sent = host.post(1, words);
    host.ring(1);
    host.until(() => false, 2_000);
    host.write(Register.cc, Cc.shn.put(host.read(Register.cc), ShutdownNotification.normal));
    const isOver = () => Csts.shst.of(host.read(Register.csts)) === ShutdownStatus.complete;
    assert.ok(host.until(isOver, 1_000_000_000));
    assert.is(sent?.ended?.status, 0);
    host.card.powerCut();
    host.card.restore();
    assert.ok(host.enable(1));
    Sqe.opc.set(words, 0, NvmOpcode.read);
    region.bytes.fill(0);
    assert.is(host.run(1, words)?.status, 0);
    assert.is(region.bytes[0], 6, `seed ${seed}`);
  }
});

test('with the volatile write cache off a completed write outlives the power', async () => {
  const { card, controller, namespace } = await opened('bytes=1MiB');
  await controller.admin.setFeature(Feature.volatileWriteCache, 0);
  await namespace.write(0, pages(7));
  card.powerCut();
  card.restore();
  card.world.advance(1_000_000_000);
  await controller.close();
  const again = await NvmeController.open(card.open());
  const data = pages(0);
  await (await again.namespace(1)).read(0, data);
  assert.equal(data, pages(7));
  await again.close();
});

test('a namespace in a file is there again on another card', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-card-'));
  try {
    const query = `bytes=16MiB&file=${encodeURIComponent(join(folder, 'image'))}`;
    const first = await opened(query);
    await first.namespace.write(100, pages(9));
    await first.controller.close();
    await first.card.close();
    const second = await opened(query);
    const data = pages(0);
    await second.namespace.read(100, data);
    assert.equal(data, pages(9));
    await second.controller.close();
    await second.card.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a namespace of 1 PiB keeps blocks around 2^31, 2^32 and 2^40 apart', async () => {
  const { card, controller, namespace } = await opened('bytes=1024TiB');
  const lbas = [0, 2 ** 31 - 8, 2 ** 31, 2 ** 32 - 8, 2 ** 32, 2 ** 40 - 8, 2 ** 40];
  for (const [i, lba] of lbas.entries()) await namespace.write(lba, pages(i + 1));
  for (const [i, lba] of lbas.entries()) {
    const data = pages(0);
    await namespace.read(lba, data);
    assert.equal(data, pages(i + 1), `block ${lba}`);
  }
  card.checker.demandNone();
  await controller.close();
});

test('the SMART page counts data units of 1000 sectors, rounded up, and commands', async () => {
  const { controller, namespace } = await opened('bytes=16MiB');
  for (let i = 0; i < 16; i++) await namespace.write(i * 128, pages(1, 16));
  await namespace.read(0, pages(0));
  const health = await controller.admin.health();
  // 16 x 64 KiB = 2048 sectors = 2.05 units; 8 sectors = 0.008 units.
  assert.equal([health.dataUnitsWritten, health.dataUnitsRead], [3n, 1n]);
  assert.equal([health.hostWrites, health.hostReads], [16n, 1n]);
  await controller.close();
});

test('a media error is counted, and the error log names queue and block', async () => {
  const { controller, namespace } = await opened('bytes=16MiB');
  await namespace.writeUncorrectable({ lba: 70, blockCount: 1 });
  assert.is(await nvmeStatusOf(namespace.read(64, pages(0))), Status.unrecoveredReadError);
  const health = await controller.admin.health();
  assert.equal([health.mediaErrors, health.errorEntries], [1n, 1n]);
  const [newest] = await controller.admin.errorLog(1);
  assert.ok(newest !== undefined);
  assert.is(ErrorEntry.lba.get(newest.words, newest.at), 70);
  await controller.close();
});

test('a block number above 2^53 is out of range, and the error log can still be read', async () => {
  const { controller, namespace } = await opened('bytes=16MiB');
  const words = new Uint32Array(commandDwords);
  Sqe.opc.set(words, 0, NvmOpcode.read);
  Sqe.nsid.set(words, 0, 1);
  words.fill(0xffff_ffff, Read.slba.dword, Read.slba.dword + 2);
  const { status } = await namespace.raw(words, pages(0));
  assert.is(statusKind(status), Status.lbaOutOfRange);
  assert.is((await controller.admin.errorLog(1)).length, 1);
  await controller.close();
});

for (const isExtended of [false, true]) {
  const how = isExtended ? 'interleaved' : 'separate';
  test(`protection information goes through ${how} metadata after a format`, async () => {
    const { card, controller } = await opened('bytes=16MiB');
    await controller.admin.format(1, { formatIndex: 3, protectionType: 1, isExtended });
    const namespace = await controller.namespace(1);
    const { memory } = controller;
    const blocks = 3;
    const metadata = { region: memory.allocate(4096), offset: 0, length: blocks * 8 };
    const made = { action: true, applicationTag: 0x55 };
    await namespace.write(10, pages(3, blocks), { protection: made });
    const checked = {
      checkGuard: true,
      checkReference: true,
      checkApplication: true,
      applicationTag: 0x55,
      applicationMask: 0xffff,
    };
    const data = new Uint8Array(blocks * (isExtended ? 4104 : 4096));
    const own = isExtended ? {} : { metadata };
    await namespace.read(10, data, { protection: checked, ...own });
    const tags = isExtended
      ? Array.from({ length: blocks }, (_, i) => [...data.slice(i * 4104 + 4098, i * 4104 + 4104)])
      : Array.from({ length: blocks }, (_, i) => [
          ...metadata.region.bytes.slice(i * 8 + 2, i * 8 + 8),
        ]);
    assert.equal(
      tags,
      [10, 11, 12].map((lba) => [0, 0x55, 0, 0, 0, lba]),
    );
    const wrong = { ...checked, applicationTag: 0x56 };
    const status = await nvmeStatusOf(namespace.read(10, data, { protection: wrong, ...own }));
    assert.is(status, Status.applicationTagCheckError);
    card.checker.demandNone();
    await controller.close();
  });
}

test('a flush waits for the dirty pages that it writes back', async () => {
  const { card, controller, namespace } = await opened('bytes=16MiB');
  const timeOf = async (): Promise<number> => {
    const from = card.world.nowNs;
    await namespace.flush();
    return card.world.nowNs - from;
  };
  await timeOf();
  const empty = await timeOf();
  await namespace.write(0, pages(1, 16));
  // The profile: 1,000 ns per dirty 4 KiB.
  assert.is((await timeOf()) - empty, 16_000);
  await controller.close();
});

test.run();
