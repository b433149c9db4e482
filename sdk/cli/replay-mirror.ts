import { FailoverDevice } from '../block/failover.js';
import { MemorySpace } from '../block/memory.js';
import type { DmaSpace } from '../device.js';
import type { Mirror } from '../mirror/mirror.js';
import type { OpenNodes } from '../open.js';
import type { ReplayResult } from '../trace/replay.js';
import type { ReplaySnapshots } from '../trace/snapshots.js';
import { msNs, secondNs } from '../units.js';
import { firstDifference } from './first-difference.js';
import { leaseNs, link, MirrorNodes, storeNs } from './mirror-nodes.js';
import { bytesText, counted, secondsText } from './replay-text.js';
import type { ReplayTarget } from './replay-volume.js';

/** Between the death of a node and the moment that the cluster takes it for dead. */
const detectionNs = 100 * msNs;
/** Somebody looks at the mirror at least this often. */
const lookNs = 2 * msNs;

/** Something that happened to the nodes, by the card's clock. */
export interface MirrorEvent {
  readonly atNs: number;
  readonly text: string;
}

/**
 * A mirrored volume on simulated nodes for a replay, whose client is on none of them. After a third
 * of the requests the node of the writer loses its power, and another node takes over; after two
 * thirds the first one is back.
 */
export class ReplayMirror implements ReplayTarget {
  readonly device: FailoverDevice;
  readonly events: MirrorEvent[] = [];
  /** Time without the volume: from the power cut to the first request that ended after it. */
  outageNs = 0;
  /** The take-over alone: from the moment that the node was taken for dead. */
  takeOverNs = 0;
  /** From the return of the node until its member has everything. */
  resyncNs = 0;
  private readonly faults: string[] = [];
  private readonly nodes: MirrorNodes;
  private readonly memory: DmaSpace;
  private startNs = 0;
  private mirror: Mirror;
  private acts: Promise<unknown> = Promise.resolve();
  private stage: 'whole' | 'failing over' | 'without one' | 'back' = 'whole';
  private isOver = false;
  private failure: { readonly error: unknown } | null = null;
  private cutNs = 0;
  private resentBefore = 0;

  /** @param bytes  of the volume: what the trace needs */
  static async make(open: OpenNodes, seed: number, bytes: number): Promise<ReplayMirror> {
    const nodes = await MirrorNodes.make(open, seed, bytes);
    const mirror = await nodes.attach(0, false);
    const made = new ReplayMirror(nodes, mirror);
    // A new mirror compares its members first; the run begins when they are known to be equal.
    while (made.mirror.status.markedRegions > 0) await made.pass(lookNs);
    made.startNs = nodes.clock.nowNs();
    return made;
  }

  private constructor(nodes: MirrorNodes, mirror: Mirror) {
    this.nodes = nodes;
    this.mirror = mirror;
    this.memory = new MemorySpace();
    const linked = nodes.linkTo(0, null, { far: mirror.device, memory: this.memory });
    this.device = new FailoverDevice(linked, { memory: this.memory });
    void this.look();
  }

  /** A mirror does what it does on its own only when it is polled. */
  private async look(): Promise<void> {
    const { clock } = this.nodes;
    while (!this.isOver) {
      this.nodes.poll();
      this.mirror.device.poll();
      this.device.poll();
      const nowNs = clock.nowNs();
      await clock.turn(Math.min(nowNs + lookNs, Math.max(this.mirror.wakeNs, nowNs + 1)));
    }
  }

  /** So many of all requests have ended: time for what befalls the nodes. */
  progress(ended: number, total: number): void {
    if (this.failure !== null) throw this.failure.error;
    // In the middle of requests, when it hurts.
    const isBusy = this.device.inFlightCount > 0;
    if (this.stage === 'whole' && ended >= total / 3 && isBusy) {
      this.stage = 'failing over';
      this.act(this.loseWriter());
    }
    if (this.cutNs > 0 && this.outageNs === 0 && this.stage === 'without one') {
      this.outageNs = this.nodes.clock.nowNs() - this.cutNs;
    }
    if (this.stage === 'without one' && ended >= (2 * total) / 3) {
      this.stage = 'back';
      this.act(this.bringBack());
    }
  }

  private act(act: Promise<void>): void {
    this.acts = act;
    // Rejected before anybody waits for it: the next look at the progress throws it.
    act.catch((error: unknown) => {
      this.failure = { error };
    });
  }

  private tell(text: string): void {
    this.events.push({ atNs: this.nodes.clock.nowNs() - this.startNs, text });
  }

  private async loseWriter(): Promise<void> {
    const { nodes, device } = this;
    this.cutNs = nodes.clock.nowNs();
    this.resentBefore = device.resentCount;
    device.leave();
    nodes.kill(0);
    this.tell('node 1, which writes, loses its power');
    await this.pass(detectionNs);
    const startNs = nodes.clock.nowNs();
    this.mirror = await nodes.attach(1, true);
    device.moveTo(nodes.linkTo(1, null, { far: this.mirror.device, memory: this.memory }));
    this.takeOverNs = nodes.clock.nowNs() - startNs;
    this.tell(`node 2 writes, epoch ${this.mirror.status.epoch}`);
    this.stage = 'without one';
  }

  private async bringBack(): Promise<void> {
    await this.nodes.revive(0);
    this.tell('node 1 is back');
    await this.allInSync();
    this.resyncNs = this.nodes.clock.nowNs() - this.startNs - this.events.at(-1)!.atNs;
    this.tell('node 1 has everything again');
  }

  private async allInSync(): Promise<void> {
    const count = this.nodes.nodes.length;
    for (;;) {
      const { members } = this.mirror.status;
      const good = members.filter(({ condition }) => condition === 'InUse');
      if (good.length === count) return;
      await this.pass(lookNs);
    }
  }

  private async pass(ns: number): Promise<void> {
    const { clock } = this.nodes;
    const untilNs = clock.nowNs() + ns;
    while (clock.nowNs() < untilNs) await clock.turn(untilNs);
  }

  snapshots(count: number): ReplaySnapshots {
    return {
      count,
      take: async (index, atInstant) => {
        // Not while there is no writer.
        while (this.stage === 'failing over') await this.pass(lookNs);
        const name = `s${index + 1}`;
        await this.device.hold();
        atInstant();
        const kept = await this.mirror.snapshot(name);
        this.device.release();
        return this.nodes.content(1, kept);
      },
    };
  }

  /** Detach, and compare what the nodes have. */
  async finish(): Promise<string[]> {
    await this.acts;
    const { faults } = this;
    if (this.stage !== 'back') faults.push('the run was too short to lose a node');
    await this.mirror.detach();
    this.isOver = true;
    const count = this.nodes.nodes.length;
    const first = this.nodes.content(0);
    for (let index = 1; index < count; index++) {
      const other = this.nodes.content(index);
      for (const written of [this.nodes.written(0), this.nodes.written(index)]) {
        const differing = await firstDifference(first, other, written);
        if (differing < 0) continue;
        faults.push(`nodes 1 and ${index + 1} differ near byte ${differing}`);
        break;
      }
    }
    for (const { name, pool } of this.nodes.nodes) {
      for (const { text } of await pool.check()) faults.push(`${name}: ${text}`);
    }
    await this.nodes.close();
    return faults;
  }

  lines({ snapshots }: ReplayResult, faults: readonly string[]): string[] {
    const seconds = (ns: number): string => secondsText(ns);
    const resent = this.device.resentCount - this.resentBefore;
    const lines = [
      `  mirror     ${this.nodes.nodes.length} nodes, ${seconds(link.latencyNs)} apart; ` +
        `cluster store ${seconds(storeNs)} away`,
      ...this.events.map(({ atNs, text }) => `    ${seconds(atNs).padStart(8)}  ${text}`),
      `  fail-over  ${seconds(this.outageNs)} without the volume: ${seconds(detectionNs)} until ` +
        `noticed, ${seconds(this.takeOverNs)} to take over (${seconds(leaseNs)} of it the lease ` +
        `of the dead writer); ${counted(resent, 'request')} sent again`,
      `  resync     ${seconds(this.resyncNs)} until the member was in sync again`,
      faults.length === 0
        ? '  members    equal, block for block; each pool sound'
        : `  members    WRONG: ${faults.join('; ')}`,
    ];
    if (snapshots === null) return lines;
    const { taken, verifiedBytes, mismatches } = snapshots;
    const verdict = mismatches === 0 ? 'each as it must be' : `${mismatches} blocks are WRONG`;
    return [
      ...lines,
      `  snapshots  ${taken} on all members while it ran: ${bytesText(verifiedBytes)} compared, ` +
        verdict,
    ];
  }

  get facts(): { readonly label: string; readonly value: string }[] {
    return [
      { label: 'without the volume', value: secondsText(this.outageNs) },
      { label: 'take-over', value: secondsText(this.takeOverNs) },
      { label: 'resync', value: secondsText(this.resyncNs) },
      ...this.events.map(({ atNs, text }) => ({ label: secondsText(atNs), value: text })),
    ];
  }

  /** Members in sync over the run: what was lost, and when it was back. */
  courses({ durationNs }: ReplayResult) {
    const whole = this.nodes.nodes.length;
    const [cut = durationNs, , , synced = durationNs] = this.events.map(({ atNs }) => atNs);
    const steps = [
      [0, whole],
      [cut, whole],
      [cut, whole - 1],
      [synced, whole - 1],
      [synced, whole],
      [Math.max(synced, durationNs), whole],
    ] as const;
    const points = steps.map(([ns, members]) => ({ x: ns / secondNs, y: members }));
    return [{ title: 'Members in sync over time', unit: 'members', points }];
  }
}
