import type { Prng } from '../../sim/prng.js';
import { campaign, type Tally } from '../support/campaign.js';
import { ClusterRig } from '../support/cluster-rig.js';
import { Peer } from '../support/nbd-peer.js';
import { type Step as IoStep, Shadow, Writer } from './nbd-kill.js';

/** I/O of a client with several requests under way, and what befalls the cluster meanwhile. */
type Step =
  | IoStep
  /** The power of a node goes, and comes back so many requests later. */
  | { readonly kind: 'kill node' | 'pause node'; readonly node: number; readonly requests: number }
  /** The writer is killed; another one takes over by force. */
  | { readonly kind: 'kill writer' };

const blocks = 1024;
const blockBytes = 4096;
const depth = 8;

export const stormOfClusterKills = campaign<Step>({
  claim:
    'three nodes, an embedded store and a writer in processes of their own: nodes and writers ' +
    'are killed and paused with writes under way, and what was answered is on all members',
  plan,
  run,
});

function plan(prng: Prng): Step[] {
  const steps: Step[] = [];
  const acts = 2 + prng.below(3);
  for (let act = 0; act < acts; act++) {
    writes(prng, 10 + prng.below(100), steps);
    const kind = prng.below(4);
    if (kind === 0) steps.push({ kind: 'kill writer' });
    else {
      const requests = 1 + prng.below(60);
      const what = kind === 1 ? 'pause node' : 'kill node';
      steps.push({ kind: what, node: prng.below(3), requests });
    }
  }
  writes(prng, 70 + prng.below(50), steps);
  return steps;
}

function writes(prng: Prng, many: number, steps: Step[]): void {
  for (let i = 0; i < many; i++) {
    if (prng.chance(0.06)) steps.push({ kind: 'flush' });
    else {
      const block = prng.below(blocks);
      const count = 1 + prng.below(Math.min(8, blocks - block));
      steps.push({ kind: 'write', block, count, isFua: prng.chance(0.1) });
    }
  }
}

async function run(steps: readonly Step[], _seed: number, tally: Tally): Promise<string | null> {
  const rig = new ClusterRig();
  try {
    await rig.start();
    await rig.cluster('create', 'db', '--bytes', String(blocks * blockBytes));
    const life = new Life(rig, tally);
    await life.begin();
    for (const step of steps) await life.take(step);
    return await life.verdict();
  } catch (error) {
    const said = rig.writer?.lines.filter((line) => !/: (?:serving|degraded), /.test(line)) ?? [];
    return `${error}; the writer said: ${said.join('\n')}`;
  } finally {
    await rig.end();
  }
}

/** A client of the volume through everything that happens. */
class Life {
  private readonly rig: ClusterRig;
  private readonly tally: Tally;
  private readonly shadow = new Shadow();
  private writer: Writer | null = null;
  private away: { readonly node: number; readonly isPaused: boolean; requests: number } | null =
    null;

  constructor(rig: ClusterRig, tally: Tally) {
    this.rig = rig;
    this.tally = tally;
  }

  async begin(...words: readonly string[]): Promise<void> {
    const socket = await this.rig.attach('db', ...words);
    const peer = Peer.to(`nbd+unix:///?socket=${socket}`);
    this.writer = new Writer(peer, this.shadow, this.writer?.version ?? 0);
    await this.writer.peer.go('');
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'scene':
        return;
      case 'kill writer':
        await this.bringBack();
        return await this.replaceWriter();
      case 'kill node':
      case 'pause node':
        return await this.lose(step.node, step.requests, step.kind === 'pause node');
      default:
        return await this.request(step);
    }
  }

  private async request(step: IoStep): Promise<void> {
    const { writer } = this;
    while (writer!.underWay.size === depth || writer!.isBusy(step)) await writer!.hearOne();
    writer!.send(step);
    this.count('requests');
    if (this.away === null) return;
    this.away.requests -= 1;
    if (this.away.requests <= 0) await this.bringBack();
  }

  /** One node at a time: with two away, nobody has promised anything. */
  private async lose(node: number, requests: number, isPaused: boolean): Promise<void> {
    await this.bringBack();
    const running = this.rig.nodes[node]!;
    if (isPaused) running.signal('SIGSTOP');
    else await running.stop('SIGKILL');
    this.away = { node, isPaused, requests };
    this.count(isPaused ? 'pauses' : 'kills');
  }

  private async bringBack(): Promise<void> {
    const { away, rig, writer } = this;
    if (away === null) return;
    this.away = null;
    // The writer has gone on without the node, whatever that took.
    while (writer!.underWay.size > 0) await writer!.hearOne();
    if (away.isPaused) rig.nodes[away.node]!.signal('SIGCONT');
    else rig.startNode(away.node);
    await rig.inSync();
  }

  private async replaceWriter(): Promise<void> {
    await this.rig.writer!.stop('SIGKILL');
    this.count('takeOvers');
    await this.begin('--force');
  }

  /** Everything answered is there, and the members are equal when all is done. */
  async verdict(): Promise<string | null> {
    const { writer, rig, shadow } = this;
    await this.bringBack();
    while (writer!.underWay.size > 0) await writer!.hearOne();
    await rig.inSync();
    shadow.durable.set(shadow.answered);
    const fault = shadow.look(await writer!.peer.read(0, blocks * blockBytes), this.tally);
    if (fault !== null) return fault;
    const code = await rig.writer!.stop('SIGTERM');
    if (code !== 0) return `the writer ended with ${code}: ${rig.writer!.lines.at(-1)}`;
    return await rig.compareMembers(blocks * blockBytes);
  }

  private count(what: string): void {
    this.tally[what] = (this.tally[what] ?? 0) + 1;
  }
}
