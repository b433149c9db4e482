import * as assert from 'uvu/assert';
import {
  Aqa,
  Cap,
  Cc,
  Cmbloc,
  Cmbsz,
  Csts,
  cmbBytes,
  completionDoorbell,
  doorbellEnd,
  nssrReset,
  Register,
  registerTables,
  submissionDoorbell,
  Vs,
} from '../../../sdk/spec/nvme/registers.js';
import { suite } from '../../support/suite.js';

const test = suite('controller registers');

test('registers lie where the property list puts them, and none overlaps the next', () => {
  // [NVMe-2.0 §3.1.3] Figure "Property Definition": offset and size in bytes.
  const figure: [name: keyof typeof Register, offset: number, bytes: number][] = [
    ['cap', 0x0, 8],
    ['vs', 0x8, 4],
    ['intms', 0xc, 4],
    ['intmc', 0x10, 4],
    ['cc', 0x14, 4],
    ['csts', 0x1c, 4],
    ['nssr', 0x20, 4],
    ['aqa', 0x24, 4],
    ['asq', 0x28, 8],
    ['acq', 0x30, 8],
    ['cmbloc', 0x38, 4],
    ['cmbsz', 0x3c, 4],
    ['bpinfo', 0x40, 4],
    ['bprsel', 0x44, 4],
    ['bpmbl', 0x48, 8],
    ['cmbmsc', 0x50, 8],
    ['cmbsts', 0x58, 4],
    ['cmbebs', 0x5c, 4],
    ['cmbswtp', 0x60, 4],
    ['nssd', 0x64, 4],
    ['crto', 0x68, 4],
    ['pmrcap', 0xe00, 4],
    ['pmrctl', 0xe04, 4],
    ['pmrsts', 0xe08, 4],
    ['pmrebs', 0xe0c, 4],
    ['pmrswtp', 0xe10, 4],
    ['pmrmscl', 0xe14, 4],
    ['pmrmscu', 0xe18, 4],
  ];
  assert.is(figure.length, Object.keys(Register).length);
  let end = 0;
  for (const [name, offset, bytes] of figure) {
    assert.is(Register[name], offset, name);
    assert.is(registerTables[name].layout.bytes, bytes, name);
    assert.ok(offset >= end, name);
    end = offset + bytes;
  }
});

test("CAP as QEMU's controller reports it reads as QEMU's documented limits", () => {
  // 0x004018200f0107ff: 2048 entries, contiguous, 7.5 s, 4 byte stride, pages of 4 to 64 KiB.
  const words = new Uint32Array([0x0f01_07ff, 0x0040_1820]);
  assert.is(Cap.mqes.get(words, 0), 2048);
  assert.is(Cap.cqr.get(words, 0), 1);
  assert.is(Cap.amsWrr.get(words, 0), 0);
  assert.is(Cap.to.get(words, 0), 15);
  assert.is(Cap.dstrd.get(words, 0), 0);
  assert.is(Cap.nssrs.get(words, 0), 0);
  assert.is(Cap.cssNvm.get(words, 0), 1);
  assert.is(Cap.cssIocs.get(words, 0), 1);
  assert.is(Cap.cssNoio.get(words, 0), 1);
  assert.is(Cap.mpsmin.get(words, 0), 0);
  assert.is(Cap.mpsmax.get(words, 0), 4);
  assert.is(Cap.cmbs.get(words, 0), 0);
});

test('00460001h, which drivers write to enable, is 64 and 16 byte entries, 4 KiB pages', () => {
  assert.is(Cc.en.of(0x0046_0001), 1);
  assert.is(Cc.css.of(0x0046_0001), 0);
  assert.is(Cc.mps.of(0x0046_0001), 0);
  assert.is(Cc.ams.of(0x0046_0001), 0);
  assert.is(Cc.iosqes.of(0x0046_0001), 6);
  assert.is(Cc.iocqes.of(0x0046_0001), 4);
  assert.is(Cc.ams.put(0, 7), 0x3800);
  assert.is(Cc.shn.put(0x0046_0001, 2), 0x0046_8001);
  assert.is(Cc.crime.put(0, 1), 0x0100_0000);
});

test('CSTS bits are ready 0, fatal 1, shutdown 3:2, subsystem reset 4, paused 5, type 6', () => {
  const of = (value: number) =>
    [Csts.rdy, Csts.cfs, Csts.shst, Csts.nssro, Csts.pp, Csts.st].map((field) => field.of(value));
  assert.equal(of(0x01), [1, 0, 0, 0, 0, 0]);
  assert.equal(of(0x02), [0, 1, 0, 0, 0, 0]);
  assert.equal(of(0x08), [0, 0, 2, 0, 0, 0]);
  assert.equal(of(0x10), [0, 0, 0, 1, 0, 0]);
  assert.equal(of(0x20), [0, 0, 0, 0, 1, 0]);
  assert.equal(of(0x40), [0, 0, 0, 0, 0, 1]);
});

test('admin queues of 4096 entries fill their 12 bits', () => {
  assert.is(Aqa.acqs.put(Aqa.asqs.put(0, 4096), 4096), 0x0fff_0fff);
  assert.is(Aqa.asqs.of(0x001f_000f), 16);
  assert.is(Aqa.acqs.of(0x001f_000f), 32);
});

test('version 1.4 reads 00010400h and 2.0 reads 00020000h', () => {
  assert.equal(
    [Vs.mjr, Vs.mnr, Vs.ter].map((f) => f.of(0x0001_0400)),
    [1, 4, 0],
  );
  assert.is(Vs.mjr.of(0x0002_0000), 2);
});

test('doorbells alternate tail and head at 4 << stride bytes from 1000h', () => {
  assert.is(submissionDoorbell(0, 0), 0x1000);
  assert.is(completionDoorbell(0, 0), 0x1004);
  assert.is(submissionDoorbell(1, 0), 0x1008);
  assert.is(completionDoorbell(3, 0), 0x101c);
  assert.is(submissionDoorbell(1, 4), 0x1080);
  assert.is(completionDoorbell(2, 4), 0x1140);
  assert.is(doorbellEnd(64, 0), 0x1200);
});

test('NSSR takes the four letters NVMe, most significant first', () => {
  assert.is(nssrReset, 0x4e564d65);
  assert.is(Buffer.from('NVMe').readUInt32BE(), nssrReset);
});

test('NSSD takes Nrml and Abpt', () => {
  const names = registerTables.nssd.nssc.names;
  assert.is(names?.normal, Buffer.from('Nrml').readUInt32BE());
  assert.is(names?.abrupt, Buffer.from('Abpt').readUInt32BE());
});

test('a 64 MiB controller memory buffer in MiB units with all uses reads 0004021fh', () => {
  assert.is(Cmbsz.sz.of(0x0004_021f), 64);
  assert.is(Cmbsz.szu.of(0x0004_021f), 2);
  assert.is(cmbBytes(Cmbsz.sz.of(0x0004_021f), Cmbsz.szu.of(0x0004_021f)), 64 * 2 ** 20);
  assert.equal(
    [Cmbsz.sqs, Cmbsz.cqs, Cmbsz.lists, Cmbsz.rds, Cmbsz.wds].map((f) => f.of(0x0004_021f)),
    [1, 1, 1, 1, 1],
  );
  assert.is(Cmbloc.bir.of(0x0000_1002), 2);
  assert.is(Cmbloc.ofst.of(0x0000_1002), 1);
});

test.run();
