import * as assert from 'uvu/assert';
import * as admin from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe, SqeSgl } from '../../../sdk/spec/nvme/command.js';
import { SglDescriptor, SglType } from '../../../sdk/spec/nvme/data-pointer.js';
import * as nvm from '../../../sdk/spec/nvme/nvm-command.js';
import { AdminOpcode, directionOf, NvmOpcode, opcodeText } from '../../../sdk/spec/nvme/opcodes.js';
import { suite } from '../../support/suite.js';

const test = suite('submission queue entries');

/** 64 bytes as hex, blanks ignored, to the words that a driver would see. */
function entry(hex: string): Uint32Array {
  const bytes = Buffer.from(hex.replace(/\s/g, ''), 'hex');
  return new Uint32Array(new Uint8Array(bytes).buffer);
}

const read = entry(`
  02 40 34 12  01 00 00 00  00 00 00 00  00 00 00 00
  00 f0 ff ff  00 00 00 00  00 02 00 80  01 00 00 00
  00 30 00 80  01 00 00 00  88 77 66 55  44 33 02 00
  07 00 00 64  05 00 00 00  d4 c3 b2 a1  aa bb ff 0f`);

test('a read written as bytes says LBA, count, protection and pointers in words', () => {
  assert.is(Sqe.opc.get(read, 0), NvmOpcode.read);
  assert.is(Sqe.psdt.get(read, 0), 1);
  assert.is(Sqe.cid.get(read, 0), 0x1234);
  assert.is(Sqe.nsid.get(read, 0), 1);
  assert.is(Sqe.mptr.get(read, 0), 0xffff_f000);
  assert.is(Sqe.prp1.get(read, 0), 0x1_8000_0200);
  assert.is(Sqe.prp2.get(read, 0), 0x1_8000_3000);
  assert.is(nvm.Read.slba.get(read, 0), 0x2_3344_5566_7788);
  assert.is(nvm.Read.nlb.get(read, 0), 8);
  assert.is(nvm.Read.fua.get(read, 0), 1);
  assert.is(nvm.Read.lr.get(read, 0), 0);
  assert.is(nvm.Read.pract.get(read, 0), 1);
  assert.is(nvm.Read.prchkGuard.get(read, 0), 0);
  assert.is(nvm.Read.prchkRef.get(read, 0), 1);
  assert.is(nvm.Read.dsm.get(read, 0), 5);
  assert.is(nvm.Read.eilbrt.get(read, 0), 0xa1b2_c3d4);
  assert.is(nvm.Read.elbat.get(read, 0), 0xbbaa);
  assert.is(nvm.Read.elbatm.get(read, 0), 0x0fff);
});

test('the first SGL descriptor lies in bytes 24 to 39, its type in the last byte', () => {
  const words = entry(`${'00'.repeat(24)} 00 10 00 00 02 00 00 00 00 02 00 00 00 00 00 30
    ${'00'.repeat(24)}`);
  const at = SqeSgl.sgl1.at(0, 0);
  assert.is(at, 6);
  assert.is(SglDescriptor.address.get(words, at), 0x2_0000_1000);
  assert.is(SglDescriptor.length.get(words, at), 512);
  assert.is(SglDescriptor.type.get(words, at), SglType.lastSegment);
  assert.is(SglDescriptor.subtype.get(words, at), 0);
});

test('creating queue 3 of 1024 entries puts 03ff0003h in dword 10', () => {
  const words = new Uint32Array(16);
  admin.CreateSubmissionQueue.qid.set(words, 0, 3);
  admin.CreateSubmissionQueue.qsize.set(words, 0, 1024);
  admin.CreateSubmissionQueue.pc.set(words, 0, 1);
  admin.CreateSubmissionQueue.qprio.set(words, 0, admin.QueuePriority.low);
  admin.CreateSubmissionQueue.cqid.set(words, 0, 2);
  assert.is(words[10], 0x03ff_0003);
  assert.is(words[11], 0x0002_0007);
  words.fill(0);
  admin.CreateCompletionQueue.qid.set(words, 0, 3);
  admin.CreateCompletionQueue.qsize.set(words, 0, 2);
  admin.CreateCompletionQueue.ien.set(words, 0, 1);
  admin.CreateCompletionQueue.iv.set(words, 0, 9);
  assert.is(words[10], 0x0001_0003);
  assert.is(words[11], 0x0009_0002);
});

test('a log page of 2^17 dwords at offset 4 GiB splits its count over dwords 10 and 11', () => {
  const words = new Uint32Array(16);
  admin.GetLogPage.lid.set(words, 0, 7);
  admin.GetLogPage.rae.set(words, 0, 1);
  admin.GetLogPage.lsp.set(words, 0, 1);
  admin.GetLogPage.lpo.set(words, 0, 2 ** 32);
  admin.setLogDwords(words, 0, 2 ** 17);
  assert.is(words[10], 0xffff_8107);
  assert.is(words[11], 1);
  assert.equal([words[12], words[13]], [0, 1]);
  assert.is(admin.logDwords(words, 0), 2 ** 17);
});

/** [name, store, dword, expected dword]: bit positions as the figures of the standard say. */
const positions: [string, (w: Uint32Array) => void, number, number][] = [
  ['identify CNTID', (w) => admin.Identify.cntid.set(w, 0, 0xabcd), 10, 0xabcd_0000],
  ['identify CSI', (w) => admin.Identify.csi.set(w, 0, 2), 11, 0x0200_0000],
  ['abort CID', (w) => admin.Abort.cid.set(w, 0, 0x1234), 10, 0x1234_0000],
  ['set features SV', (w) => admin.SetFeatures.sv.set(w, 0, 1), 10, 0x8000_0000],
  ['get features SEL', (w) => admin.GetFeatures.sel.set(w, 0, 3), 10, 0x300],
  ['format SES', (w) => admin.FormatNvm.ses.set(w, 0, 2), 10, 0x400],
  ['format PI', (w) => admin.FormatNvm.pi.set(w, 0, 1), 10, 0x20],
  ['format PIL', (w) => admin.FormatNvm.pil.set(w, 0, 1), 10, 0x100],
  ['firmware CA', (w) => admin.FirmwareCommit.ca.set(w, 0, 3), 10, 0x18],
  ['firmware NUMD', (w) => admin.FirmwareDownload.numd.set(w, 0, 1024), 10, 0x3ff],
  ['sanitize OWPASS', (w) => admin.Sanitize.owpass.set(w, 0, 15), 10, 0xf0],
  ['sanitize NDAS', (w) => admin.Sanitize.ndas.set(w, 0, 1), 10, 0x200],
  ['directive DTYPE', (w) => admin.DirectiveSend.dtype.set(w, 0, 1), 11, 0x100],
  ['directive TDTYPE', (w) => admin.DirectiveSend.tdtype.set(w, 0, 1), 12, 0x100],
  ['security SECP', (w) => admin.SecuritySend.secp.set(w, 0, 0xef), 10, 0xef00_0000],
  ['virtualization RT', (w) => admin.VirtualizationManagement.rt.set(w, 0, 1), 10, 0x100],
  ['LBA status ATYPE', (w) => admin.GetLbaStatus.atype.set(w, 0, 0x11), 13, 0x1100_0000],
  ['write DTYPE', (w) => nvm.Write.dtype.set(w, 0, 1), 12, 0x10_0000],
  ['write DSPEC', (w) => nvm.Write.dspec.set(w, 0, 7), 13, 0x7_0000],
  ['write FUA', (w) => nvm.Write.fua.set(w, 0, 1), 12, 0x4000_0000],
  ['write PRACT', (w) => nvm.Write.pract.set(w, 0, 1), 12, 0x2000_0000],
  ['write zeroes DEAC', (w) => nvm.WriteZeroes.deac.set(w, 0, 1), 12, 0x200_0000],
  ['DSM NR', (w) => nvm.DatasetManagement.nr.set(w, 0, 256), 10, 0xff],
  ['DSM AD', (w) => nvm.DatasetManagement.ad.set(w, 0, 1), 11, 4],
  ['copy NR', (w) => nvm.Copy.nr.set(w, 0, 128), 12, 0x7f],
  ['copy DF', (w) => nvm.Copy.df.set(w, 0, 1), 12, 0x100],
  ['copy PRINFOR', (w) => nvm.Copy.prinfor.set(w, 0, 8), 12, 0x8000],
  ['register CPTPL', (w) => nvm.ReservationRegister.cptpl.set(w, 0, 3), 10, 0xc000_0000],
  ['acquire RTYPE', (w) => nvm.ReservationAcquire.rtype.set(w, 0, 6), 10, 0x600],
  ['release RRELA', (w) => nvm.ReservationRelease.rrela.set(w, 0, 1), 10, 1],
  ['report EDS', (w) => nvm.ReservationReport.eds.set(w, 0, 1), 11, 1],
];

for (const [name, put, dword, expected] of positions) {
  test(`${name} alone makes dword ${dword} ${expected.toString(16)}h`, () => {
    const words = new Uint32Array(16);
    nvm.Read.nlb.set(words, 0, 1);
    put(words);
    assert.is(words[dword], expected);
  });
}

test('command tables are 64 bytes and payload tables have the sizes of the figures', () => {
  for (const table of [...Object.values(admin), ...Object.values(nvm)]) {
    if (typeof table !== 'object' || !('layout' in table)) continue;
    assert.is(table.layout.bytes % 4, 0);
  }
  assert.is(Sqe.layout.bytes, 64);
  assert.is(SglDescriptor.layout.bytes, 16);
  assert.is(nvm.DatasetRange.layout.bytes, 16);
  assert.is(nvm.CopyRange0.layout.bytes, 32);
  assert.is(nvm.CopyRange1.layout.bytes, 40);
  assert.is(nvm.RegisteredController.layout.bytes, 24);
  assert.is(nvm.RegisteredControllerExtended.layout.bytes, 64);
});

test('a dataset range counts blocks from 1, a copy range counts them from 0', () => {
  const range = entry('00 00 00 00 08 00 00 00 00 10 00 00 00 00 00 00');
  assert.is(nvm.DatasetRange.length.get(range, 0), 8);
  assert.is(nvm.DatasetRange.slba.get(range, 0), 0x1000);
  const source = new Uint32Array(8);
  source[2] = 0x1000;
  source[4] = 7;
  assert.is(nvm.CopyRange0.slba.get(source, 0), 0x1000);
  assert.is(nvm.CopyRange0.nlb.get(source, 0), 8);
});

test('no opcode stands for two commands of one set', () => {
  for (const table of [AdminOpcode, NvmOpcode]) {
    const values = Object.values(table);
    assert.is(new Set(values).size, values.length);
  }
});

test('the low two bits of an opcode say where its data goes', () => {
  assert.is(directionOf(AdminOpcode.identify), 'to host');
  assert.is(directionOf(AdminOpcode.securitySend), 'to controller');
  assert.is(directionOf(NvmOpcode.write), 'to controller');
  assert.is(directionOf(NvmOpcode.read), 'to host');
  assert.is(directionOf(NvmOpcode.flush), 'none');
});

test('an opcode has words: by name, vendor range or unknown', () => {
  assert.is(opcodeText(0x05, 'admin'), 'create completion queue');
  assert.is(opcodeText(0x05, 'nvm'), 'compare');
  assert.is(opcodeText(0xc1, 'admin'), 'vendor 0xc1');
  assert.is(opcodeText(0x03, 'admin'), 'unknown 0x03');
});

test.run();
