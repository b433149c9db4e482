import * as assert from 'uvu/assert';
import * as lists from '../../../../sdk/spec/nvme/identify.js';
import {
  IdentifyController,
  IdentifyControllerNvm,
  PowerState,
  PrimaryCapabilities,
  SecondaryEntry,
  SecondaryList,
} from '../../../../sdk/spec/nvme/identify-controller.js';
import {
  IdentifyNamespace,
  IdentifyNamespaceIndependent,
  IdentifyNamespaceNvm,
  LbaFormat,
  NamespaceDescriptor,
} from '../../../../sdk/spec/nvme/identify-namespace.js';
import { suite } from '../../../support/suite.js';

const test = suite('identify');

interface Readable {
  get(words: Uint32Array, at: number): number;
}

/** Bytes as the figures number them, and what the field must then read as. */
type Row = readonly [name: string, field: Readable, byte: number, bytes: number[], value: number];

function checkRows(rows: readonly Row[], length: number): void {
  for (const [name, field, byte, bytes, value] of rows) {
    const page = new Uint32Array(length / 4);
    new Uint8Array(page.buffer).set(bytes, byte);
    assert.is(field.get(page, 0), value, name);
    const others = new Uint32Array(length / 4).fill(0xffff_ffff);
    new Uint8Array(others.buffer).fill(0, byte, byte + bytes.length);
    const zero = field.get(new Uint32Array(length / 4), 0);
    assert.is(field.get(others, 0), zero, `${name} reads beyond its bytes`);
  }
}

const C = IdentifyController;

test('the controller structure has its fields at the bytes of the standard', () => {
  checkRows(
    [
      ['VID', C.vid, 0, [0x34, 0x12], 0x1234],
      ['SSVID', C.ssvid, 2, [0x78, 0x56], 0x5678],
      ['RAB', C.rab, 72, [6], 6],
      ['IEEE', C.ieee, 73, [0x01, 0x02, 0x03], 0x030201],
      ['MDTS', C.mdts, 77, [5], 5],
      ['CNTLID', C.cntlid, 78, [1, 2], 0x0201],
      ['VER', C.ver, 80, [0, 0, 2, 0], 0x0002_0000],
      ['RTD3E', C.rtd3e, 88, [0x40, 0x42, 0x0f, 0], 1_000_000],
      ['CNTRLTYPE', C.cntrltype, 111, [1], 1],
      ['CRDT3', C.crdt3, 132, [1, 1], 257],
      ['ACL', C.acl, 258, [3], 4],
      ['AERL', C.aerl, 259, [3], 4],
      ['ELPE', C.elpe, 262, [63], 64],
      ['NPSS', C.npss, 263, [4], 5],
      ['APSTA', C.apsta, 265, [1], 1],
      ['WCTEMP', C.wctemp, 266, [0x57, 0x01], 343],
      ['CCTEMP', C.cctemp, 268, [0x61, 0x01], 353],
      ['MTFA', C.mtfa, 270, [10, 0], 10],
      ['HMPRE', C.hmpre, 272, [1, 0, 0, 0], 1],
      ['EDSTT', C.edstt, 316, [2, 0], 2],
      ['FWUG', C.fwug, 319, [1], 1],
      ['KAS', C.kas, 320, [10, 0], 10],
      ['HCTMA', C.hctma, 322, [1, 0], 1],
      ['MNTMT', C.mntmt, 324, [0x11, 0x01], 273],
      ['MXTMT', C.mxtmt, 326, [0x57, 0x01], 343],
      ['NSETIDMAX', C.nsetidmax, 338, [1, 0], 1],
      ['ENDGIDMAX', C.endgidmax, 340, [1, 0], 1],
      ['ANATT', C.anatt, 342, [10], 10],
      ['ANAGRPMAX', C.anagrpmax, 344, [1, 0, 0, 0], 1],
      ['NANAGRPID', C.nanagrpid, 348, [1, 0, 0, 0], 1],
      ['PELS', C.pels, 352, [1, 0, 0, 0], 1],
      ['MAXCMD', C.maxcmd, 514, [0, 1], 256],
      ['NN', C.nn, 516, [0, 4, 0, 0], 1024],
      ['AWUN', C.awun, 526, [255, 0], 256],
      ['AWUPF', C.awupf, 528, [7, 0], 8],
      ['ICSVSCC', C.icsvscc, 530, [1], 1],
      ['ACWU', C.acwu, 532, [7, 0], 8],
      ['CDFS', C.cdfs, 534, [1, 0], 1],
      ['MNAN', C.mnan, 540, [32, 0, 0, 0], 32],
      ['MSDBD', C.msdbd, 1803, [4], 4],
    ],
    4096,
  );
});

test('the bit fields of the controller structure are the bits of the standard', () => {
  const rows: [Readable, number, number][] = [
    [C.cmicMultipleControllers, 76, 1],
    [C.oaesNamespace, 93, 0],
    [C.oaesFirmware, 93, 1],
    [C.ctrattTbkas, 96, 6],
    [C.ctrattUuidList, 97, 1],
    [C.oacsSecurity, 256, 0],
    [C.oacsFormat, 256, 1],
    [C.oacsFirmware, 256, 2],
    [C.oacsNamespace, 256, 3],
    [C.oacsSelfTest, 256, 4],
    [C.oacsDirectives, 256, 5],
    [C.oacsVirtualization, 256, 7],
    [C.oacsDbbuf, 257, 0],
    [C.frmwSlot1ReadOnly, 260, 0],
    [C.frmwWithoutReset, 260, 4],
    [C.lpaEffects, 261, 1],
    [C.lpaExtended, 261, 2],
    [C.lpaTelemetry, 261, 3],
    [C.lpaSupportedPages, 261, 5],
    [C.sanicapCrypto, 328, 0],
    [C.sanicapBlock, 328, 1],
    [C.sanicapOverwrite, 328, 2],
    [C.sanicapNdi, 331, 5],
    [C.oncsCompare, 520, 0],
    [C.oncsWriteZeroes, 520, 3],
    [C.oncsReservations, 520, 5],
    [C.oncsVerify, 520, 7],
    [C.oncsCopy, 521, 0],
    [C.fuses, 522, 0],
    [C.fnaCryptoErase, 524, 2],
    [C.vwcPresent, 525, 0],
    [C.nwpcWriteProtect, 531, 0],
  ];
  for (const [field, byte, bit] of rows) {
    const page = new Uint32Array(1024);
    new Uint8Array(page.buffer)[byte] = 1 << bit;
    assert.is(field.get(page, 0), 1, `byte ${byte} bit ${bit}`);
    new Uint8Array(page.buffer)[byte] = 0xff ^ (1 << bit);
    assert.is(field.get(page, 0), 0, `byte ${byte} bit ${bit} alone`);
  }
});

test('text and wide counters of the controller start where the standard says', () => {
  const page = new Uint32Array(1024);
  const bytes = Buffer.from(page.buffer);
  bytes.write('SERIAL              ', 4, 'latin1');
  bytes.write('MODEL'.padEnd(40), 24, 'latin1');
  bytes.write('1.0     ', 64, 'latin1');
  bytes.write('nqn.2014-08.org.example:card', 768, 'latin1');
  bytes.writeBigUInt64LE(1_000_000_000_000n, 280);
  bytes.writeBigUInt64LE(7n, 304);
  assert.is(C.sn.text(page, 0), 'SERIAL');
  assert.is(C.mn.text(page, 0), 'MODEL');
  assert.is(C.fr.text(page, 0), '1.0');
  assert.is(C.subnqn.text(page, 0), 'nqn.2014-08.org.example:card');
  assert.is(C.tnvmcap.count(page, 0), 1_000_000_000_000n);
  assert.is(C.unvmcap.count(page, 0), 7n << 64n);
  assert.is(C.psd.at(0, 1) * 4, 2048 + 32);
});

test('entry sizes read as two nibbles, required low and maximum high', () => {
  const page = new Uint32Array(1024);
  new Uint8Array(page.buffer).set([0x66, 0x44], 512);
  assert.is(C.sqesRequired.get(page, 0), 6);
  assert.is(C.sqesMaximum.get(page, 0), 6);
  assert.is(C.cqesRequired.get(page, 0), 4);
  assert.is(C.cqesMaximum.get(page, 0), 4);
});

test('a power state descriptor has its fields at the bytes of the standard', () => {
  checkRows(
    [
      ['MP', PowerState.mp, 0, [0xc4, 0x09], 2500],
      ['ENLAT', PowerState.enlat, 4, [100, 0, 0, 0], 100],
      ['EXLAT', PowerState.exlat, 8, [0, 1, 0, 0], 256],
      ['RRT', PowerState.rrt, 12, [3], 3],
      ['RWL', PowerState.rwl, 15, [4], 4],
      ['IDLP', PowerState.idlp, 16, [1, 1], 257],
      ['IPS', PowerState.ips, 18, [0x40], 1],
      ['ACTP', PowerState.actp, 20, [1, 1], 257],
      ['APW', PowerState.apw, 22, [2], 2],
      ['APS', PowerState.aps, 22, [0x80], 2],
    ],
    32,
  );
});

const N = IdentifyNamespace;

test('the namespace structure has its fields at the bytes of the standard', () => {
  checkRows(
    [
      ['NSZE', N.nsze, 0, [0, 0, 0, 0, 1, 0, 0, 0], 2 ** 32],
      ['NCAP', N.ncap, 8, [1, 0, 0, 0, 0, 0, 0, 0], 1],
      ['NUSE', N.nuse, 16, [2, 0, 0, 0, 0, 0, 0, 0], 2],
      ['NLBAF', N.nlbaf, 25, [3], 4],
      ['FLBAS', N.flbasIndex, 26, [2], 2],
      ['FLBAS extended', N.flbasExtended, 26, [0x10], 1],
      ['FLBAS high', N.flbasIndexHigh, 26, [0x60], 3],
      ['MC', N.mcSeparate, 27, [2], 1],
      ['DPC', N.dpcLast, 28, [0x10], 1],
      ['DPS', N.dpsType, 29, [2], 2],
      ['DPS first', N.dpsFirst, 29, [8], 1],
      ['NMIC', N.nmicShared, 30, [1], 1],
      ['RESCAP', N.rescapPersist, 31, [1], 1],
      ['FPI', N.fpiRemaining, 32, [50], 50],
      ['DLFEAT', N.dlfeatReads, 33, [1], 1],
      ['NAWUN', N.nawun, 34, [7, 0], 8],
      ['NAWUPF', N.nawupf, 36, [7, 0], 8],
      ['NACWU', N.nacwu, 38, [7, 0], 8],
      ['NABSN', N.nabsn, 40, [7, 0], 7],
      ['NABO', N.nabo, 42, [7, 0], 7],
      ['NABSPF', N.nabspf, 44, [7, 0], 7],
      ['NOIOB', N.noiob, 46, [0, 1], 256],
      ['NPWG', N.npwg, 64, [7, 0], 8],
      ['NOWS', N.nows, 72, [31, 0], 32],
      ['MSSRL', N.mssrl, 74, [128, 0], 128],
      ['MCL', N.mcl, 76, [0, 2, 0, 0], 512],
      ['MSRC', N.msrc, 80, [127], 128],
      ['ANAGRPID', N.anagrpid, 92, [1, 0, 0, 0], 1],
      ['NSATTR', N.nsattrWriteProtected, 99, [1], 1],
      ['NVMSETID', N.nvmsetid, 100, [1, 0], 1],
      ['ENDGID', N.endgid, 102, [1, 0], 1],
    ],
    4096,
  );
});

test('NGUID is at byte 104, EUI64 at 120 and LBA format 0 at 128', () => {
  assert.is(N.nguid.offset, 104);
  assert.is(N.nguid.length, 16);
  assert.is(N.eui64.offset, 120);
  assert.is(N.eui64.length, 8);
  assert.is(N.nvmcap.offset, 48);
  const page = new Uint32Array(1024);
  new Uint8Array(page.buffer).set([8, 0, 12, 1], 128 + 4);
  const at = N.lbaf.at(0, 1);
  assert.is(LbaFormat.ms.get(page, at), 8);
  assert.is(LbaFormat.lbads.get(page, at), 12);
  assert.is(LbaFormat.rp.get(page, at), 1);
});

test('command set specific and independent namespace structures keep their offsets', () => {
  assert.is(IdentifyNamespaceNvm.elbaf.at(0, 0) * 4, 12);
  const I = IdentifyNamespaceIndependent;
  checkRows(
    [
      ['NMIC', I.nmicShared, 1, [1], 1],
      ['RESCAP', I.rescap, 2, [0xff], 0xff],
      ['FPI', I.fpiSupported, 3, [0x80], 1],
      ['ANAGRPID', I.anagrpid, 4, [1, 0, 0, 0], 1],
      ['NSATTR', I.nsattrWriteProtected, 8, [1], 1],
      ['NVMSETID', I.nvmsetid, 10, [1, 0], 1],
      ['ENDGID', I.endgid, 12, [1, 0], 1],
      ['NSTAT', I.nstatReady, 14, [1], 1],
    ],
    4096,
  );
  checkRows(
    [
      ['VSL', IdentifyControllerNvm.vsl, 0, [5], 5],
      ['DMRL', IdentifyControllerNvm.dmrl, 3, [255], 255],
      ['DMRSL', IdentifyControllerNvm.dmrsl, 4, [1, 0, 0, 0], 1],
      ['DMSL', IdentifyControllerNvm.dmsl, 8, [1, 0, 0, 0, 0, 0, 0, 0], 1],
    ],
    4096,
  );
});

test('virtualization structures keep their offsets', () => {
  const P = PrimaryCapabilities;
  checkRows(
    [
      ['PORTID', P.portid, 2, [1, 0], 1],
      ['CRT', P.crtVi, 4, [2], 1],
      ['VQFRT', P.vqfrt, 32, [1, 0, 0, 0], 1],
      ['VQRFAP', P.vqrfap, 40, [1, 0], 1],
      ['VQPRT', P.vqprt, 42, [1, 0], 1],
      ['VQFRSM', P.vqfrsm, 44, [1, 0], 1],
      ['VQGRAN', P.vqgran, 46, [1, 0], 1],
      ['VIFRT', P.vifrt, 64, [1, 0, 0, 0], 1],
      ['VIGRAN', P.vigran, 78, [1, 0], 1],
    ],
    4096,
  );
  const S = SecondaryEntry;
  checkRows(
    [
      ['PCID', S.pcid, 2, [1, 0], 1],
      ['SCS', S.online, 4, [1], 1],
      ['VFN', S.vfn, 8, [1, 0], 1],
      ['NVQ', S.nvq, 10, [1, 0], 1],
      ['NVI', S.nvi, 12, [1, 0], 1],
    ],
    32,
  );
  assert.is(SecondaryList.entries.at(0, 0) * 4, 32);
});

test('list structures start their entries where the standard says', () => {
  assert.is(lists.NvmSetList.entries.at(0, 1) * 4, 256);
  assert.is(lists.GranularityList.entries.at(0, 1) * 4, 48);
  assert.is(lists.UuidList.entries.at(0, 0) * 4, 32);
  assert.is(lists.DomainList.entries.at(0, 0) * 4, 128);
  assert.is(lists.ControllerList.identifiers.offset, 2);
  assert.is(lists.UuidEntry.uuid.offset, 16);
});

test('a namespace descriptor header is type, length and two reserved bytes', () => {
  const page = new Uint32Array(1);
  new Uint8Array(page.buffer).set([3, 16, 0, 0]);
  assert.is(NamespaceDescriptor.nidt.get(page, 0), 3);
  assert.is(NamespaceDescriptor.nidl.get(page, 0), 16);
});

test.run();
