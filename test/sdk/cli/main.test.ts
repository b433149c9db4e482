import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { at, ultima } from './spawned.js';

const test = suite('ultima command');

test('--help teaches: commands, addresses, an example, exit codes', () => {
  const { code, out, err } = ultima('--help');
  assert.is(code, 0);
  assert.is(err, '');
  for (const word of ['bench', 'id-ctrl', 'show-regs', 'sim:ultima-g2', 'vfio:', 'exit code']) {
    assert.ok(out.includes(word), word);
  }
  assert.ok(out.split('\n').every((line) => line.length <= 100));
});

test('no words at all: the help goes to standard error, exit code 2', () => {
  const { code, out, err } = ultima();
  assert.is(code, 2);
  assert.is(out, '');
  assert.match(err, /usage: ultima COMMAND/);
});

test('a mistyped command is answered with the one that was meant', () => {
  const { code, err } = ultima('id-ctlr');
  assert.is(code, 2);
  assert.is(err, "ultima: there is no command 'id-ctlr'; did you mean 'id-ctrl'?\n");
});

test('each command has a help of its own', () => {
  for (const name of ['bench', 'id-ns', 'get-log']) {
    const { code, out } = ultima(name, '--help');
    assert.is(code, 0);
    assert.ok(out.startsWith(`usage: ultima ${name}`), name);
  }
});

test('--version is the version of the package', () => {
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8'),
  );
  assert.is(ultima('--version').out, `ultima ${at(manifest, 'version')}\n`);
});

test('an unknown profile is answered with the known ones, exit code 2', () => {
  const { code, out, err } = ultima('id-ctrl', 'sim:nothing');
  assert.is(code, 2);
  assert.is(out, '');
  assert.match(err, /'nothing'.*simple.*ultima-g2/);
});

test('a size that a card cannot have is answered with the range, exit code 2', () => {
  const { code, err } = ultima('id-ctrl', 'sim:simple?bytes=3');
  assert.is(code, 2);
  assert.match(err, /namespaces\[0\]\.bytes = 3: must be an integer 1048576\.\.\d+/);
});

test('a value out of its range is answered with the range alone, exit code 2', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-main-'));
  const disk = join(folder, 'disk.img');
  const { code, err } = ultima('pool', 'create', disk, '--bytes', '16m', '--journal', '1g');
  rmSync(folder, { recursive: true });
  assert.is(code, 2);
  assert.is(err, 'ultima: a journal of 1073741824 bytes; at most 4194304 on this device\n');
});

test('a wrong address is answered with the forms of an address, exit code 2', () => {
  const { code, err } = ultima('id-ctrl', '/dev/nvme0');
  assert.is(code, 2);
  assert.match(err, /'\/dev\/nvme0'.*sim:<profile>.*vfio:/);
});

test('an unknown option is answered with the known ones, exit code 2', () => {
  const { code, err } = ultima('id-ctrl', 'sim:simple', '--colour');
  assert.is(code, 2);
  assert.match(err, /--colour.*--human-readable/);
});

test('list shows the simulated cards, as text and as JSON', () => {
  assert.match(ultima('list').out, /^sim:ultima-g2 /m);
  const cards = at(JSON.parse(ultima('list', '-o', 'json').out), 'cards');
  assert.ok(Array.isArray(cards) && cards.length >= 2);
  assert.match(String(at(cards, 0, 'address')), /^sim:/);
});

test('doctor says of each thing how it stands, and what to do about what is wrong', () => {
  const findings = at(JSON.parse(ultima('doctor', '-o', 'json').out), 'findings');
  assert.ok(Array.isArray(findings) && findings.length >= 4);
  for (const finding of findings) {
    assert.match(String(at(finding, 'verdict')), /^(?:ok|note|wrong)$/);
    if (at(finding, 'verdict') === 'wrong') assert.not.equal(at(finding, 'remedy'), '');
  }
});

test('bind refuses what is no address, and a function that is not there', () => {
  assert.is(ultima('bind', 'nvme0').code, 2);
  const { code, err } = ultima('bind', 'ffff:ff:1f.7');
  assert.is(code, 2);
  assert.match(err, /ffff:ff:1f\.7/);
});

test.run();
