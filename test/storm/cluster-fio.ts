import { symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Prng } from '../../sim/prng.js';
import { EtcdCluster } from '../clients/etcd-cluster.js';
import type { Ended } from '../clients/served.js';
import { campaign, type Tally } from '../support/campaign.js';
import { ClusterRig } from '../support/cluster-rig.js';
import { Between, fio, missing } from '../support/fio-nbd.js';

const nodeActs = ['kill node', 'pause node', 'cut node', 'hold node'] as const;
const storeActs = ['kill store', 'pause store'] as const;
const writerActs = ['kill writer', 'pause writer'] as const;

/** What befalls one of three nodes, of three members of etcd, or the writer, and when. */
type Step =
  | { readonly kind: 'scene'; readonly depth: number }
  | {
      readonly kind: (typeof nodeActs)[number] | (typeof storeActs)[number];
      readonly index: number;
      readonly afterMs: number;
      /** How long it stays so. */
      readonly forMs: number;
    }
  | { readonly kind: (typeof writerActs)[number]; readonly afterMs: number };
type NodeStep = Extract<Step, { forMs: number }>;

const blockBytes = 4096;
const blocks = 1024;
const writesPerSecond = 400;

export const stormOfClusterFio = campaign<Step>({
  claim:
    'fio writes and verifies checksums, over and over, on a volume of three nodes over NVMe/TCP ' +
    'and three members of etcd, all processes: nodes, writers and etcd are killed and paused, ' +
    'connections to nodes cut and held; every block reads as it was written, and members are equal',
  plan,
  run,
});

function plan(prng: Prng): Step[] {
  const steps: Step[] = [{ kind: 'scene', depth: [1, 4, 16, 32][prng.below(4)]! }];
  const acts = 2 + prng.below(3);
  for (let act = 0; act < acts; act++) {
    const afterMs = 200 + prng.below(1500);
    const among = prng.below(8);
    // Longer and shorter than a member may take to answer: it is left out, or nobody notices.
    const place = { index: prng.below(3), afterMs, forMs: 200 + prng.below(4000) };
    if (among < 4) steps.push({ kind: nodeActs[among]!, ...place });
    else if (among < 6) steps.push({ kind: storeActs[among - 4]!, ...place });
    else steps.push({ kind: writerActs[among - 6]!, afterMs });
  }
  return steps;
}

async function run(steps: readonly Step[], _seed: number, tally: Tally): Promise<string | null> {
  const [scene] = steps.filter((step) => step.kind === 'scene');
  if (scene === undefined) return null;
  // Of Debian's packages fio, qemu-utils and etcd-server.
  const lacking = missing('fio', 'qemu-nbd', 'etcd');
  if (lacking.length > 0) throw new Error(`not installed: ${lacking.join(', ')}`);
  const etcd = new EtcdCluster();
  await etcd.start(3);
  const rig = new ClusterRig({ endpoints: etcd.endpoints, hasRelays: true });
  const setting = new Setting(rig, etcd, tally);
  try {
    await setting.start();
    return await setting.live(steps, scene.depth);
  } catch (error) {
    const said = [...rig.nodes, rig.writer].flatMap((each) => each?.lines.slice(-4) ?? []);
    return `${error instanceof Error ? error.stack : error}; they said last: ${said.join('\n')}`;
  } finally {
    await setting.end();
  }
}

class Setting {
  private readonly rig: ClusterRig;
  private readonly etcd: EtcdCluster;
  private readonly tally: Tally;
  private readonly between: Between;
  /** Leads to whoever writes now. */
  private readonly back: string;
  /** Of fio's last pass, whose blocks are there. */
  private seed = 0;

  constructor(rig: ClusterRig, etcd: EtcdCluster, tally: Tally) {
    this.rig = rig;
    this.etcd = etcd;
    this.tally = tally;
    this.back = join(rig.folder, 'back');
    this.between = new Between(join(rig.folder, 'front'));
  }

  async start(): Promise<void> {
    await this.rig.start();
    await this.rig.cluster('create', 'db', '--bytes', `${blocks * blockBytes}`);
    symlinkSync(await this.attach(), this.back);
    await this.between.start(this.back);
  }

  /** @returns what is wrong */
  async live(steps: readonly Step[], depth: number): Promise<string | null> {
    let areActsOver = false;
    const acts = this.act(steps).finally(() => {
      areActsOver = true;
    });
    const passes = this.passes(depth, () => areActsOver);
    // Whichever fails first says why.
    const [, fault] = await Promise.all([acts, passes]);
    return fault ?? (await this.verdict());
  }

  /** fio, over and over. @returns what it found wrong */
  private async passes(depth: number, isOver: () => boolean): Promise<string | null> {
    const how = ['--rw=randwrite', `--iodepth=${depth}`, '--do_verify=1', '--verify_fatal=1'];
    const rate = `--rate_iops=,${writesPerSecond}`;
    do {
      this.seed += 1;
      const { code, out } = await this.fio(this.between.socket, ...how, rate);
      if (code !== 0) return `fio ended with ${code} in pass ${this.seed}: ${out.slice(0, 2000)}`;
      this.count('passes of fio');
    } while (!isOver());
    return null;
  }

  private async act(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      if (step.kind === 'scene') continue;
      // Moments of the world: no event of fio's or the cluster's may be what chooses them.
      await pass(step.afterMs);
      this.count(step.kind);
      if ('forMs' in step) await this.lose(step);
      else if (step.kind === 'kill writer') await this.replaceKilled();
      else await this.replacePaused();
    }
  }

  /** One at a time: with two nodes away nobody has promised anything. */
  private async lose(step: NodeStep): Promise<void> {
    const { rig, etcd } = this;
    const { kind, index, forMs } = step;
    const node = rig.nodes[index]!;
    const relay = rig.relays[index]!;
    if (kind === 'cut node') relay.cut();
    else if (kind === 'hold node') relay.hold();
    else if (kind === 'pause node') node.signal('SIGSTOP');
    else if (kind === 'kill node') await node.stop('SIGKILL');
    else if (kind === 'pause store') etcd.signal(index, 'SIGSTOP');
    else await etcd.kill(index);
    await pass(forMs);
    if (kind === 'hold node') relay.release();
    else if (kind === 'pause node') node.signal('SIGCONT');
    else if (kind === 'kill node') rig.startNode(index);
    else if (kind === 'pause store') etcd.signal(index, 'SIGCONT');
    else if (kind === 'kill store') etcd.startMember(index);
    if (kind === 'kill store' || kind === 'pause store') await etcd.ready();
    await rig.inSync();
  }

  private async replaceKilled(): Promise<void> {
    await this.rig.writer!.stop('SIGKILL');
    await this.takeOver();
  }

  /** The one that slept finds out that it writes no more, and ends by itself. */
  private async replacePaused(): Promise<void> {
    const sleeper = this.rig.writer!;
    sleeper.signal('SIGSTOP');
    await this.takeOver();
    sleeper.signal('SIGCONT');
    const code = await sleeper.ended();
    const last = sleeper.lines.at(-1) ?? '';
    if (code !== 1 || !/ has taken over with epoch /.test(last)) {
      throw new Error(`the writer that slept ended with ${code}: ${last}`);
    }
  }

  /** Again where an etcd that was too slow leaves open whether the volume is ours. */
  private async attach(...words: readonly string[]): Promise<string> {
    for (let triesLeft = 5; ; triesLeft--) {
      try {
        return await this.rig.attach('db', ...(triesLeft < 5 ? ['--force'] : words));
      } catch (error) {
        if (triesLeft === 0 || !/try again/.test(String(error))) throw error;
        this.count('attached once more');
      }
    }
  }

  private async takeOver(): Promise<void> {
    const socket = await this.attach('--force');
    unlinkSync(this.back);
    symlinkSync(socket, this.back);
    await this.rig.inSync();
  }

  /** What fio wrote last is there for another writer, too, and the same on all members. */
  private async verdict(): Promise<string | null> {
    const { rig } = this;
    await rig.inSync();
    await this.between.end();
    const code = await rig.writer!.stop('SIGTERM');
    if (code !== 0) return `the writer ended with ${code}: ${rig.writer!.lines.at(-1)}`;
    const socket = await rig.attach('db');
    const again = await this.fio(socket, '--rw=randwrite', '--verify_only=1', '--verify_fatal=1');
    if (again.code !== 0) return `read again: ${again.out.slice(0, 2000)}`;
    await rig.writer!.stop('SIGTERM');
    return await rig.compareMembers(blocks * blockBytes);
  }

  async end(): Promise<void> {
    await this.between.end();
    await this.rig.end();
    await this.etcd.end();
  }

  private fio(socket: string, ...words: readonly string[]): Promise<Ended> {
    const { seed } = this;
    return fio({ socket, folder: this.rig.folder, blockBytes, blocks, seed }, ...words);
  }

  private count(what: string): void {
    this.tally[what] = (this.tally[what] ?? 0) + 1;
  }
}

function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
