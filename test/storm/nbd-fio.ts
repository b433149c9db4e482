import { closeSync, openSync, writeSync } from 'node:fs';
import type { Prng } from '../../sim/prng.js';
import { type Ended, Served, ultima } from '../clients/served.js';
import { campaign, type Tally } from '../support/campaign.js';
import { Between, fio, missing } from '../support/fio-nbd.js';

/** What is served, how deep fio writes, and when the server is killed while it does. */
type Step =
  | {
      readonly kind: 'scene';
      readonly isVolume: boolean;
      /** A control: nothing holds what was answered and not flushed. */
      readonly isWriteThrough: boolean;
      readonly depth: number;
      /** The block that is spoilt in the end, behind everybody's back. */
      readonly spoilt: number;
    }
  | { readonly kind: 'kill'; readonly afterMs: number };

const blockBytes = 4096;
const blocks = 2048;
const writesPerSecond = 900;

export const stormOfNbdFio = campaign<Step>({
  claim:
    'fio writes with checksums, through a client that connects again, to a server that is killed ' +
    'from outside at random moments, over a card whose volatile cache is lost: every block that ' +
    'was answered is there, and one that is spoilt is reported where it is',
  plan,
  run,
});

function plan(prng: Prng, seed: number): Step[] {
  const spoilt = prng.below(blocks);
  const depth = [1, 4, 16, 32][prng.below(4)]!;
  const isWriteThrough = seed % 8 !== 7;
  const isVolume = seed % 2 === 1;
  const kills = Array.from({ length: 1 + prng.below(3) }, (): Step => {
    return { kind: 'kill', afterMs: 100 + prng.below(900) };
  });
  return [{ kind: 'scene', isVolume, isWriteThrough, depth, spoilt }, ...kills];
}

async function run(steps: readonly Step[], _seed: number, tally: Tally): Promise<string | null> {
  const [scene] = steps.filter((step) => step.kind === 'scene');
  if (scene === undefined) return null;
  // Of Debian's packages fio and qemu-utils.
  const lacking = missing('fio', 'qemu-nbd');
  if (lacking.length > 0) throw new Error(`not installed: ${lacking.join(', ')}`);
  const setting = new Setting(scene);
  try {
    await setting.start();
    const kills = steps.flatMap((step) => (step.kind === 'kill' ? [step.afterMs] : []));
    const fault = await setting.write(kills, tally);
    return fault ?? (await setting.spoil(tally));
  } finally {
    await setting.end();
  }
}

class Setting {
  private readonly scene: Extract<Step, { kind: 'scene' }>;
  private readonly served = new Served();
  private readonly card: string;
  private readonly words: readonly string[];
  private readonly between: Between;

  constructor(scene: Extract<Step, { kind: 'scene' }>) {
    this.scene = scene;
    const { served } = this;
    // A pool needs more than its volume; of a card alone the file starts with its content.
    const bytes = scene.isVolume ? '32MiB' : `${(blocks * blockBytes) / 1024 / 1024}MiB`;
    this.card = `sim:simple?bytes=${bytes}&file=${served.file('card')}`;
    const what = scene.isVolume ? ['volume', 'db', '--pool', this.card] : ['device', this.card];
    this.words = scene.isWriteThrough ? [...what, '--write-through'] : what;
    this.between = new Between(served.file('front'));
  }

  async start(): Promise<void> {
    if (this.scene.isVolume) {
      await ultima('pool', 'create', this.card, '--journal', '256k');
      const bytes = ['--bytes', `${blocks * blockBytes}`];
      await ultima('volume', 'create', 'db', ...bytes, '--pool', this.card);
    }
    await this.served.start(...this.words);
    await this.between.start(this.served.socket);
  }

  /** Write all blocks, with kills on the way, and read them again. @returns what is wrong */
  async write(kills: readonly number[], tally: Tally): Promise<string | null> {
    const rate = ['--rw=randwrite', `--iodepth=${this.scene.depth}`, '--do_verify=1'];
    const writing = this.fio(this.between.socket, ...rate, `--rate_iops=,${writesPerSecond}`);
    let hasEnded = false;
    void writing.finally(() => {
      hasEnded = true;
    });
    for (const afterMs of kills) {
      // Moments of the world: no event of fio's or the server's may be what chooses them.
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      if (hasEnded) break;
      await this.served.stop('SIGKILL');
      await this.served.start(...this.words);
      count(tally, 'kills');
    }
    const { code, out } = await writing;
    if (!this.scene.isWriteThrough) {
      count(tally, 'controls');
      if (code !== 0) count(tally, 'controls that lost blocks');
      return null;
    }
    if (code !== 0) return `fio ended with ${code}: ${out.slice(0, 2000)}`;
    count(tally, 'runs of fio');
    // Once more without anybody between: what the last server had in memory is gone.
    await this.served.stop('SIGKILL');
    await this.served.start(...this.words);
    const again = await this.verify();
    return again.code === 0 ? null : `read again: ${again.out.slice(0, 2000)}`;
  }

  /** Spoil one block on the card. @returns what is wrong if fio does not say which */
  async spoil(tally: Tally): Promise<string | null> {
    const { served, scene } = this;
    if (!scene.isWriteThrough) return null;
    await served.stop('SIGTERM');
    if (scene.isVolume) {
      await ultima('pool', 'check', this.card);
      return null;
    }
    const at = scene.spoilt * blockBytes;
    const file = openSync(served.file('card'), 'r+');
    // Behind the header that fio writes, so that the checksum must find it.
    writeSync(file, Buffer.from([1, 2, 3]), 0, 3, at + 2000);
    closeSync(file);
    await served.start(...this.words);
    const { code, out } = await this.verify();
    if (code === 0) return `block ${scene.spoilt} is spoilt, and fio does not see it`;
    count(tally, 'spoilt blocks found');
    return out.includes(`offset ${at}, length`) ? null : `not at ${at}: ${out.slice(0, 2000)}`;
  }

  async end(): Promise<void> {
    await this.between.end();
    await this.served.end();
  }

  private verify(): Promise<Ended> {
    return this.fio(this.served.socket, '--rw=randwrite', '--verify_only=1', '--verify_fatal=1');
  }

  private fio(socket: string, ...words: readonly string[]): Promise<Ended> {
    const { folder } = this.served;
    return fio({ socket, folder, blockBytes, blocks }, ...words);
  }
}

function count(tally: Tally, what: string): void {
  tally[what] = (tally[what] ?? 0) + 1;
}
