import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { at, ultima } from './spawned.js';

const test = suite('pages of a card');
const card = 'sim:simple';

/** The names of nvme-cli 2.x in the order in which it prints them. */
const idCtrlNames = `vid ssvid sn mn fr rab ieee cmic mdts cntlid ver rtd3r rtd3e oaes ctratt rrls
  cntrltype fguid crdt1 crdt2 crdt3 nvmsr vwci mec oacs acl aerl frmw lpa elpe npss avscc apsta
  wctemp cctemp mtfa hmpre hmmin tnvmcap unvmcap rpmbs edstt dsto fwug kas hctma mntmt mxtmt sanicap
  hmminds hmmaxd nsetidmax endgidmax anatt anacap anagrpmax nanagrpid pels domainid megcap sqes cqes
  maxcmd nn oncs fuses fna vwc awun awupf icsvscc nwpc acwu ocfs sgls mnan maxdna maxcna subnqn
  ioccsz iorcsz icdoff fcatt msdbd ofcs`.split(/\s+/);

function json(...words: string[]): unknown {
  const { code, out, err } = ultima(...words, '-o', 'json');
  assert.is(err, '');
  assert.is(code, 0);
  return JSON.parse(out);
}

test('id-ctrl prints the names of nvme-cli in its order', () => {
  const { out, code } = ultima('id-ctrl', card);
  assert.is(code, 0);
  const lines = out.split('\n');
  assert.is(lines[0], 'NVME Identify Controller:');
  const names = lines.slice(1).map((line) => line.split(/\s*:/)[0]!.trim());
  assert.equal(names.slice(0, idCtrlNames.length), idCtrlNames);
  assert.match(out, /^sqes {6}: 0x66$/m);
  assert.match(out, /^ps {4}0 : mp:[\d.]+W operational/m);
});

test('id-ctrl as bytes, JSON and words is the same structure', () => {
  const { bytes } = ultima('id-ctrl', card, '-b');
  assert.is(bytes.length, 4096);
  const document = json('id-ctrl', card);
  // Offsets of the standard's figure of the Identify Controller data structure.
  assert.is(at(document, 'vid'), bytes.readUInt16LE(0));
  assert.is(at(document, 'sn'), bytes.toString('latin1', 4, 24).trim());
  assert.is(at(document, 'mn'), bytes.toString('latin1', 24, 64).trim());
  assert.is(at(document, 'mdts'), bytes.readUInt8(77));
  assert.is(at(document, 'oacs'), bytes.readUInt16LE(256));
  assert.is(at(document, 'acl'), bytes.readUInt8(258));
  assert.is(at(document, 'npss'), bytes.readUInt8(263));
  assert.is(at(document, 'tnvmcap'), Number(bytes.readBigUInt64LE(280)));
  assert.is(at(document, 'sqes'), bytes.readUInt8(512));
  assert.is(at(document, 'nn'), bytes.readUInt32LE(516));
  assert.is(at(document, 'oncs'), bytes.readUInt16LE(520));
  assert.is(at(document, 'awun'), bytes.readUInt16LE(526));
  assert.is(at(document, 'sgls'), bytes.readUInt32LE(536));
  assert.is(at(document, 'psds', 0, 'max_power'), bytes.readUInt16LE(2048));
});

test('id-ctrl -H says what the bits of a field mean', () => {
  const { out } = ultima('id-ctrl', card, '-H');
  assert.match(out, /^sqes {6}: 0x66\n {2}\[3:0\] : 0x6\tRequired SQ entry size/m);
  assert.match(out, /^oacs .*\n {2}\[0:0\] : (?:0|0x1)\tSecurity Send and Receive/m);
});

test('id-ns shows the format in use', () => {
  const { bytes } = ultima('id-ns', card, '-b');
  const document = json('id-ns', card, '-n', '1');
  assert.is(at(document, 'nsze'), Number(bytes.readBigUInt64LE(0)));
  assert.is(at(document, 'flbas'), bytes.readUInt8(26));
  const format = bytes.readUInt8(26) % 16;
  assert.is(at(document, 'lbafs', format, 'ds'), bytes.readUInt8(128 + 4 * format + 2));
  const inUse = ultima('id-ns', card).out.match(/^lbaf .*\(in use\)$/gm);
  assert.is(inUse?.length, 1);
  assert.match(inUse![0]!, new RegExp(`^lbaf {2}${format} `));
});

test('id-ns of a namespace that is not active says which are', () => {
  const { code, out, err } = ultima('id-ns', card, '-n', '7');
  assert.is(code, 1);
  assert.is(out, '');
  assert.match(err, /namespace 7 is not active; active: 1/);
});

test('smart-log has the keys and units of nvme-cli', () => {
  const document = json('smart-log', card);
  const keys = [
    'critical_warning',
    'temperature',
    'avail_spare',
    'data_units_read',
    'media_errors',
  ];
  for (const key of keys) assert.type(at(document, key), 'number');
  const kelvin = Number(at(document, 'temperature'));
  const { out } = ultima('smart-log', card);
  assert.ok(out.includes(`: ${kelvin - 273} °C (${kelvin} K)`));
});

test('error-log has one block of the standard fields per entry', () => {
  const errors = at(json('error-log', card, '-e', '3'), 'errors');
  assert.ok(Array.isArray(errors));
  assert.is(errors.length, 3);
  assert.equal(Object.keys(errors[0]), [
    'error_count',
    'sqid',
    'cmdid',
    'status_field',
    'phase_tag',
    'parm_error_location',
    'lba',
    'nsid',
    'vs',
    'trtype',
    'cs',
    'trtype_spec_info',
  ]);
});

test('get-log gives as many bytes as asked for, and words where the page is known', () => {
  assert.is(ultima('get-log', card, '-i', '2', '-b').bytes.length, 512);
  assert.is(ultima('get-log', card, '-i', '2', '-l', '64', '-b').bytes.length, 64);
  assert.match(ultima('get-log', card, '-i', '3').out, /^0000: (?:[0-9a-f]{2} ){16}"/m);
  assert.match(ultima('get-log', card, '-i', '3', '-H').out, /Firmware/);
});

test('a log page that the card does not have fails with the status in words', () => {
  const { code, out, err } = ultima('get-log', card, '-i', '0xfe', '-l', '512');
  assert.is(code, 1);
  assert.is(out, '');
  assert.match(err, /invalid log page/i);
});

test('get-feature takes a number or a name and shows the fields', () => {
  const byNumber = json('get-feature', card, '-f', '0x07');
  assert.equal(json('get-feature', card, '-f', 'numberOfQueues'), byNumber);
  const value = Number(at(byNumber, 'value'));
  // NSQA is bits 15:0 and NCQA bits 31:16 of the value, both 0's based.
  assert.is(at(byNumber, 'fields', 'nsq'), (value % 65536) + 1);
  assert.is(at(byNumber, 'fields', 'ncq'), Math.floor(value / 65536) + 1);
  assert.match(ultima('get-feature', card, '-f', '7').out, /^get-feature:0x07 \(numberOfQueues\)/);
});

test('show-regs reads the registers and leaves the controller disabled', () => {
  const document = json('show-regs', card);
  assert.is(at(document, 'cc'), 0);
  assert.is(at(document, 'vs'), 0x20000);
  assert.match(ultima('show-regs', card).out, /^version : 20000$/m);
  assert.match(ultima('show-regs', card, '-H').out, /Maximum Queue Entries Supported/);
});

test('a number that cannot be is refused with its range, exit code 2', () => {
  const { code, err } = ultima('get-log', card, '-i', '300');
  assert.is(code, 2);
  assert.is(err, 'ultima: --log-id is 300; it must be a whole number 0..255\n');
});

test.run();
