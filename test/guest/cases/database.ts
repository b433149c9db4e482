import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import * as assert from 'uvu/assert';
import type { GuestCase } from '../case.js';
import { killCount } from '../database-disk.js';

/** The volume that the host serves over NBD, as QEMU's virtio disk. */
const path = '/dev/disk/by-id/virtio-database';
const plainPath = '/dev/vda';
const mountPoint = '/mnt';
const file = `${mountPoint}/bank.db`;
const accounts = 100;
const balance = 1000;
const perPhase = 40;

/** Journal modes of SQLite: both write orders that it knows. */
const modes = ['delete', 'wal'] as const;

/** An ext4 with a database on a disk whose server is killed and comes back. */
export const databaseCases: readonly GuestCase[] = [
  {
    title: 'ext4 is made on the volume and mounted',
    run: () => {
      execFileSync('mkfs.ext4', ['-q', '-F', disk()]);
      execFileSync('mount', [disk(), mountPoint]);
      return Promise.resolve();
    },
  },
  {
    title: `SQLite commits on while the server is killed ${killCount} times with -9`,
    run: commitUnderKills,
  },
  {
    title: 'the kernel saw no error of the disk',
    run: () => {
      const log = execFileSync('dmesg', { encoding: 'utf8' });
      const bad = log.split('\n').filter((line) => /I\/O error|EXT4-fs (error|warning)/.test(line));
      assert.equal(bad, []);
      return Promise.resolve();
    },
  },
  {
    title: 'e2fsck finds nothing to mend, and the database is whole after another mount',
    run: async () => {
      execFileSync('umount', [mountPoint]);
      const check = spawnSync('e2fsck', ['-f', '-n', disk()], { encoding: 'utf8' });
      assert.is(check.status, 0, check.stdout + check.stderr);
      // Nothing of what is read now comes out of the kernel's memory.
      execFileSync('blockdev', ['--flushbufs', disk()]);
      execFileSync('mount', [disk(), mountPoint]);
      const shell = new Shell();
      await judge(shell);
      await shell.end();
      execFileSync('umount', [mountPoint]);
    },
  },
];

/** Transactions that SQLite has called durable. */
let committed = 0;

async function commitUnderKills(): Promise<void> {
  const shell = new Shell();
  await shell.ask('PRAGMA synchronous = FULL; CREATE TABLE account (id INTEGER PRIMARY KEY, sum);');
  await shell.ask('CREATE TABLE entry (id INTEGER PRIMARY KEY, number, text);');
  const rows = Array.from({ length: accounts }, (_, id) => `(${id}, ${balance})`);
  await shell.ask(`INSERT INTO account VALUES ${rows.join(',')};`);
  for (let phase = 0; phase <= killCount; phase++) {
    const mode = modes[phase % modes.length]!;
    assert.equal(await shell.ask(`PRAGMA journal_mode = ${mode};`), [mode]);
    for (let i = 0; i < perPhase; i++) {
      // The host's side of the console takes this line to the server.
      if (phase > 0 && i === perPhase / 4) console.log('KILL');
      await commit(shell);
    }
    await judge(shell);
  }
  await shell.end();
}

/** A transfer between two accounts, and a row about it: both or none. */
async function commit(shell: Shell): Promise<void> {
  const number = committed + 1;
  const [from, to] = [number % accounts, (number * 7 + 3) % accounts];
  await shell.ask(
    `BEGIN; UPDATE account SET sum = sum - 1 WHERE id = ${from};` +
      `UPDATE account SET sum = sum + 1 WHERE id = ${to};` +
      `INSERT INTO entry (number, text) VALUES (${number}, hex(zeroblob(2000))); COMMIT;`,
  );
  committed++;
}

/** Everything that was committed is there, and the pages fit together. */
async function judge(shell: Shell): Promise<void> {
  assert.equal(await shell.ask('PRAGMA integrity_check;'), ['ok']);
  assert.equal(await shell.ask('SELECT sum(sum) FROM account;'), [String(accounts * balance)]);
  const entries = await shell.ask('SELECT count(*), max(number), sum(length(text)) FROM entry;');
  assert.equal(entries, [`${committed}|${committed}|${committed * 4000}`]);
  console.log(`     ${committed} transactions are there`);
}

function disk(): string {
  return existsSync(path) ? path : plainPath;
}

/** One `sqlite3` on the database, asked one thing after the other. */
class Shell {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor() {
    this.child = spawn('sqlite3', ['-batch', '-bail', file], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  /** @returns the rows; it has answered when its own mark comes back */
  async ask(text: string): Promise<string[]> {
    this.child.stdin!.write(`${text}\nSELECT 'answered';\n`);
    const rows: string[] = [];
    for (;;) {
      const { value, done } = await this.lines.next();
      if (done === true) throw new Error(`sqlite3 ended at: ${text}`);
      if (value === 'answered') return rows;
      rows.push(value);
    }
  }

  async end(): Promise<void> {
    this.child.stdin!.end();
    const [code] = await once(this.child, 'close');
    assert.is(code, 0);
  }
}
