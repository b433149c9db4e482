import type { Prng } from '../../sim/prng.js';
import { Served, ultima } from '../clients/served.js';
import { campaign, type Tally } from '../support/campaign.js';
import { Peer } from '../support/nbd-peer.js';
import { request } from '../support/nbd-rig.js';

/** One request of a client that has several under way. */
export type Step =
  | {
      readonly kind: 'write';
      readonly block: number;
      readonly count: number;
      readonly isFua: boolean;
    }
  | { readonly kind: 'flush' }
  /** What is served, and when it is killed: at so many answers, with others under way. */
  | { readonly kind: 'scene'; readonly isVolume: boolean; readonly answers: number };

const blockBytes = 4096;
const blocks = 1024;
const sectorBytes = 512;
const depth = 8;

export const stormOfNbdKills = campaign<Step>({
  claim:
    'a server that is killed with writes under way, over a card whose volatile cache is lost: ' +
    'what was answered before a flush, or with FUA, is there when it serves again',
  plan,
  run,
});

function plan(prng: Prng, seed: number): Step[] {
  const steps: Step[] = [];
  const many = 40 + prng.below(400);
  const answers = 1 + prng.below(many - depth);
  steps.push({ kind: 'scene', isVolume: seed % 2 === 1, answers });
  for (let i = 0; i < many; i++) {
    if (prng.chance(0.06)) steps.push({ kind: 'flush' });
    else {
      const block = prng.below(blocks);
      const count = 1 + prng.below(Math.min(8, blocks - block));
      steps.push({ kind: 'write', block, count, isFua: prng.chance(0.1) });
    }
  }
  return steps;
}

/** What each block was given, and what of it must be there. */
export class Shadow {
  /** The last version that was sent, and the one that must not be lost. */
  readonly sent = new Uint32Array(blocks);
  readonly durable = new Uint32Array(blocks);
  readonly answered = new Uint32Array(blocks);

  /** @returns what a sector cannot hold, or null; counts what was answered and is lost */
  look(content: Buffer, tally: Tally): string | null {
    for (let sector = 0; sector < (blocks * blockBytes) / sectorBytes; sector++) {
      const block = Math.floor((sector * sectorBytes) / blockBytes);
      const at = sector * sectorBytes;
      const version = content.readUInt32LE(at);
      const place = content.readUInt32LE(at + 4);
      const low = this.durable[block]!;
      if (version < low || version > this.sent[block]! || (version > 0 && place !== sector)) {
        return (
          `sector ${sector} holds version ${version} of sector ${place}; ` +
          `${low} was durable, ${this.sent[block]} was sent`
        );
      }
      if (version < this.answered[block]!) tally.lostSectors = (tally.lostSectors ?? 0) + 1;
    }
    return null;
  }
}

interface UnderWay {
  readonly step: Step;
  readonly version: number;
  /** Of a flush: what had been answered when it was sent. */
  readonly covers: Uint32Array | null;
}

async function run(steps: readonly Step[], _seed: number, tally: Tally): Promise<string | null> {
  const scene = steps.find((step) => step.kind === 'scene');
  if (scene?.kind !== 'scene') return null;
  const served = new Served();
  try {
    const card = `sim:simple?bytes=64MiB&file=${served.file('card')}`;
    if (scene.isVolume) {
      await ultima('pool', 'create', card, '--journal', '256k');
      await ultima('volume', 'create', 'db', '--bytes', '16m', '--pool', card);
    }
    const words = scene.isVolume ? ['volume', 'db', '--pool', card] : ['device', card];
    await served.start(...words);
    const shadow = new Shadow();
    const writer = new Writer(Peer.to(served.uri), shadow);
    await writer.write(steps, scene.answers);
    await served.stop('SIGKILL');
    tally.kills = (tally.kills ?? 0) + 1;
    tally.underWay = (tally.underWay ?? 0) + writer.underWay.size;
    await served.start(...words);
    const reader = Peer.to(served.uri);
    await reader.go('');
    const fault = shadow.look(await reader.read(0, blocks * blockBytes), tally);
    if (fault !== null) return fault;
    await served.stop('SIGTERM');
    if (scene.isVolume) await ultima('pool', 'check', card);
    return null;
  } finally {
    await served.end();
  }
}

export class Writer {
  readonly underWay = new Map<number, UnderWay>();
  readonly peer: Peer;
  /** Of the last write. */
  version: number;
  private readonly shadow: Shadow;
  private readonly busy = new Set<number>();
  private cookie = 0;

  /** @param version  where another writer has left off */
  constructor(peer: Peer, shadow: Shadow, version = 0) {
    this.peer = peer;
    this.shadow = shadow;
    this.version = version;
  }

  /** Keep requests under way until so many were answered. */
  async write(steps: readonly Step[], answers: number): Promise<void> {
    await this.peer.go('');
    let answered = 0;
    for (const step of steps) {
      if (step.kind === 'scene') continue;
      // Two writes of a block at the same time may end in any order.
      while (this.underWay.size === depth || this.isBusy(step)) {
        await this.hearOne();
        if (++answered === answers) return;
      }
      this.send(step);
    }
  }

  isBusy(step: Step): boolean {
    if (step.kind !== 'write') return false;
    for (let i = 0; i < step.count; i++) if (this.busy.has(step.block + i)) return true;
    return false;
  }

  send(step: Step): void {
    const cookie = ++this.cookie;
    const { shadow } = this;
    if (step.kind !== 'write') {
      const covers = shadow.answered.slice();
      this.underWay.set(cookie, { step, version: 0, covers });
      this.peer.say(request({ command: 3, cookie }));
      return;
    }
    const version = ++this.version;
    const data = Buffer.alloc(step.count * blockBytes, version & 0xff);
    const first = (step.block * blockBytes) / sectorBytes;
    for (let at = 0; at < data.length; at += sectorBytes) {
      data.writeUInt32LE(version, at);
      data.writeUInt32LE(first + at / sectorBytes, at + 4);
    }
    for (let i = 0; i < step.count; i++) {
      this.busy.add(step.block + i);
      shadow.sent[step.block + i] = version;
    }
    this.underWay.set(cookie, { step, version, covers: null });
    const flags = step.isFua ? 1 : 0;
    const offset = step.block * blockBytes;
    this.peer.say(request({ command: 1, flags, cookie, offset, length: data.length }), data);
  }

  async hearOne(): Promise<void> {
    const head = await this.peer.hear(16);
    if (head.readUInt32BE(4) !== 0) throw new Error(`answered ${head.readUInt32BE(4)}`);
    const cookie = head.readUInt32BE(12);
    const { step, version, covers } = this.underWay.get(cookie)!;
    this.underWay.delete(cookie);
    const { shadow } = this;
    if (covers !== null) {
      for (const [block, answered] of covers.entries()) {
        shadow.durable[block] = Math.max(shadow.durable[block]!, answered);
      }
    }
    if (step.kind !== 'write') return;
    for (let i = 0; i < step.count; i++) {
      this.busy.delete(step.block + i);
      shadow.answered[step.block + i] = version;
      if (step.isFua) shadow.durable[step.block + i] = version;
    }
  }
}
