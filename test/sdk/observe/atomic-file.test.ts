import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { writeFileAtomically } from '../../../sdk/observe/atomic-file.js';
import { skip, suite } from '../../support/suite.js';

const test = suite('atomic file');
let folder = '';

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'ultima-file-'));
});
test.after.each(() => {
  rmSync(folder, { recursive: true });
});

function errorOf(run: () => void): UltimaError {
  try {
    run();
  } catch (error) {
    assert.instance(error, UltimaError);
    if (error instanceof UltimaError) return error;
  }
  throw new Error('nothing was thrown');
}

test('missing folders are made and an old file is replaced', () => {
  const path = join(folder, 'a/b/report.html');
  writeFileAtomically(path, 'old');
  writeFileAtomically(path, new Uint8Array([0x6e, 0x65, 0x77]));
  assert.is(readFileSync(path, 'utf8'), 'new');
  assert.equal(readdirSync(join(folder, 'a/b')), ['report.html']);
});

test('a folder in the way leaves no temporary file and names the path', () => {
  const path = join(folder, 'taken');
  writeFileAtomically(join(path, 'inside'), 'x');
  const error = errorOf(() => writeFileAtomically(path, 'content'));
  assert.is(error.code, 'FILE_UNWRITABLE');
  assert.is(error.facts.path, path);
  assert.equal(readdirSync(folder), ['taken']);
});

test('a file in the place of a folder is refused', () => {
  writeFileSync(join(folder, 'file'), 'kept');
  const error = errorOf(() => writeFileAtomically(join(folder, 'file/report.html'), 'content'));
  assert.is(error.code, 'FILE_UNWRITABLE');
  assert.is(readFileSync(join(folder, 'file'), 'utf8'), 'kept');
});

test('a file system that ends in the middle of the file leaves the old file whole', () => {
  const path = join(folder, 'report.html');
  writeFileAtomically(path, 'old');
  const module = new URL('../../../sdk/observe/atomic-file.js', import.meta.url).href;
  const code = `
    import { writeFileAtomically } from '${module}';
    try {
      writeFileAtomically('${path}', 'x'.repeat(100_000));
    } catch (error) {
      console.log(error.code, error.message);
    }`;
  // A limit of 8 blocks on the size of a file cuts the write short as a full disk does.
  const node = [process.execPath, '--input-type=module', '-e', code];
  const child = spawnSync('sh', ['-c', 'ulimit -f 8 && exec "$0" "$@"', ...node], {
    encoding: 'utf8',
  });
  assert.match(child.stdout, /^FILE_UNWRITABLE cannot write .*report.html \(100000 bytes\): EFBIG/);
  assert.is(readFileSync(path, 'utf8'), 'old');
  assert.equal(readdirSync(folder), ['report.html']);
});

test('a folder that says ENOENT to whatever is made in it is not tried for ever', () => {
  if (!existsSync('/proc/self')) return skip('no /proc on this system');
  const error = errorOf(() => writeFileAtomically('/proc/none/of/it.html', 'content'));
  assert.match(error.message, /cannot write \/proc\/none\/of\/it.html \(7 bytes\): ENOENT/);
});

test('a device is written to and stays a device; a full one is a failure', () => {
  if (!existsSync('/dev/full')) return skip('no /dev/full on this system');
  // Through links: should they be replaced, the system's own devices stay whole.
  const full = join(folder, 'full');
  const nowhere = join(folder, 'null');
  symlinkSync('/dev/full', full);
  symlinkSync('/dev/null', nowhere);
  writeFileAtomically(nowhere, 'content');
  const error = errorOf(() => writeFileAtomically(full, 'content'));
  assert.match(error.message, /full \(7 bytes\): ENOSPC; free space or choose another path/);
  for (const path of [full, nowhere]) assert.ok(lstatSync(path).isSymbolicLink(), path);
  assert.ok(lstatSync('/dev/null').isCharacterDevice());
  assert.equal(readdirSync(folder), ['full', 'null']);
});

test('a symbolic link stays one, and the file that it names is replaced', () => {
  const link = join(folder, 'link');
  writeFileSync(join(folder, 'file'), 'old');
  symlinkSync('file', link);
  writeFileAtomically(link, 'new');
  assert.is(readFileSync(join(folder, 'file'), 'utf8'), 'new');
  assert.ok(lstatSync(link).isSymbolicLink());
});

test('a folder without permission is named, with what to do', () => {
  if (process.getuid?.() === 0) return skip('running as root: permissions do not bind');
  chmodSync(folder, 0o500);
  const error = errorOf(() => writeFileAtomically(join(folder, 'report.html'), 'content'));
  chmodSync(folder, 0o700);
  assert.match(error.message, /EACCES; choose a folder that you may write to/);
});

test.run();
