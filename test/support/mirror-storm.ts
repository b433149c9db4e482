import type { ClusterStore } from '../../sdk/cluster/store.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { LocalMember } from '../../sdk/mirror/local-member.js';
import { Mirror } from '../../sdk/mirror/mirror.js';
import { createMirror } from '../../sdk/mirror/options.js';
import type { Tally } from './campaign.js';
import { StormApp } from './mirror-app.js';
import { MirrorAudit } from './mirror-audit.js';
import { valueIn } from './mirror-content.js';
import { StormNet } from './mirror-net.js';
import { geometry, mostBlocks, StormNode } from './mirror-node.js';
import type { MirrorStep } from './mirror-plan.js';
import { RegisterChecker } from './mirror-register.js';
import { StormStore } from './mirror-store.js';
import { StormWorld } from './mirror-world.js';

interface Shock {
  readonly node: StormNode;
  readonly other: StormNode;
  readonly ns: number;
  readonly choice: number;
}

const clusterId = 'c'.repeat(32);
const volumeId = 'a'.repeat(32);

/** A cluster of simulated nodes under a plan of shocks, watched from outside. */
export class MirrorStorm {
  readonly world: StormWorld;
  readonly nodes: StormNode[] = [];
  readonly checker = new RegisterChecker(mostBlocks);
  private readonly net: StormNet;
  private readonly store = new StormStore();
  private readonly apps = new Map<StormNode, StormApp>();
  private readonly attaching = new Set<StormNode>();
  private readonly values = { next: 1 };
  private readonly tally: Tally;
  private eraNs = 0;
  private doubtfulRestore: Uint8Array | null = null;
  private readonly audit: MirrorAudit;
  /** Blocks that a writer was told the volume has. */
  private grownTo: number = geometry.blockCount;

  constructor(seed: number, tally: Tally) {
    this.tally = tally;
    this.world = new StormWorld(seed);
    const count = 3 + this.world.chance.below(3);
    this.net = new StormNet(this.world, count);
    for (let i = 0; i < count; i++) {
      this.nodes.push(new StormNode(i, this.world, this.net, this.store));
    }
    const { world, nodes, store } = this;
    this.audit = new MirrorAudit({ world, nodes, store, volumeId });
  }

  async run(steps: readonly MirrorStep[]): Promise<string | null> {
    await this.begin();
    for (const step of steps) {
      this.count(step.kind);
      this.take(step);
      await this.world.run(step.runUs * 1000);
      this.audit.check([...this.apps.values()].map(({ mirror }) => mirror));
      if (this.world.violation !== null) break;
    }
    if (this.world.violation === null) await this.end();
    this.count('events', this.world.eventCount);
    this.count('reads', this.checker.reads);
    this.count('writes', this.checker.writes);
    return this.world.violation;
  }

  private async begin(): Promise<void> {
    const work = this.nodes.map(async (node) => {
      const identity = { clusterId, volumeId, memberId: node.memberId };
      await LocalMember.format(node.devices(), identity, geometry.regionBlocks);
      await node.boot();
    });
    await this.until(Promise.all(work));
    const memberCount = 2 + this.world.chance.below(2);
    const memberIds = this.nodes.slice(0, memberCount).map(({ memberId }) => memberId);
    const { store } = this;
    const commit = store.commit.bind(store);
    const direct: Pick<ClusterStore, 'commit'> = { commit };
    await createMirror(direct, { clusterId, volumeId, memberIds, ...geometry });
  }

  private async until(promise: Promise<unknown>): Promise<void> {
    let isOver = false;
    void promise.then(() => {
      isOver = true;
    });
    await this.world.runUntil(() => isOver, 1e9);
  }

  private take(step: MirrorStep): void {
    const node = this.nodes[step.node % this.nodes.length]!;
    const other = this.nodes[(node.index + step.other) % this.nodes.length]!;
    this.shocks[step.kind]({ node, other, ns: step.lastsUs * 1000, choice: step.other });
  }

  private readonly shocks: Readonly<Record<MirrorStep['kind'], (shock: Shock) => void>> = {
    work: () => {},
    attach: ({ node }) => this.attach(node, false),
    force: ({ node }) => this.attach(node, true),
    detach: ({ node }) => this.detach(node),
    pause: ({ node, ns }) => node.pause(ns),
    kill: ({ node, ns }) => this.kill(node, true, ns),
    'power cut': ({ node, ns }) => this.kill(node, false, ns),
    blackout: ({ ns }) => {
      for (const each of this.nodes) this.kill(each, false, ns);
    },
    partition: ({ node, other, ns }) => {
      this.net.cut(other.index, node.index, ns);
      this.net.cut(node.index, other.index, ns);
    },
    'one way': ({ node, other, ns }) => this.net.cut(node.index, other.index, ns),
    isolate: ({ node, other, ns }) => this.isolate(node, other, ns),
    usurp: (shock) => {
      if (this.writer() === null) this.attach(shock.node, true);
      this.later(2_000_000, () => this.usurp(shock));
    },
    // A claimant that waits for another one's time to be over may trust its own clock.
    'clock jump': ({ node, ns }) => {
      if (!this.attaching.has(node)) node.jumpedNs += ns;
    },
    'store out': ({ ns }) => {
      this.store.isOut = true;
      this.later(ns, () => {
        this.store.isOut = false;
      });
    },
    'store cut': ({ node, ns }) => {
      node.store.isCut = true;
      this.later(ns, () => {
        node.store.isCut = false;
      });
    },
    slow: ({ node, ns }) => {
      node.data.slowness = 30;
      this.later(ns, () => {
        node.data.slowness = 1;
      });
    },
    hang: ({ node, ns }) => {
      node.data.isHung = true;
      this.later(ns, () => node.data.unhang());
    },
    dead: ({ node, ns }) => {
      node.data.isDead = true;
      node.meta.isDead = this.world.chance.chance(0.5);
      this.later(ns, () => {
        node.data.isDead = false;
        node.meta.isDead = false;
      });
    },
    // All at once: who fills up alone is out, as one that is dead.
    full: ({ ns }) => {
      for (const { data } of this.nodes) data.isFull = true;
      this.later(ns, () => {
        for (const { data } of this.nodes) data.isFull = false;
      });
    },
    corrupt: ({ node }) => this.corrupt(node, this.world.chance.below(geometry.blockCount)),
    verify: () => this.onMirror((app) => this.verify(app)),
    grow: ({ choice }) => this.onMirror((app) => this.grow(app, choice)),
    snapshot: ({ choice }) => this.onMirror((app) => this.snapshot(app, choice)),
    restore: ({ choice }) => this.onMirror((app) => this.restore(app, choice)),
    add: ({ node }) => this.onMirror((app) => this.add(app, node)),
    remove: ({ node }) => this.onMirror((app) => app.mirror.removeMember(node.memberId)),
  };

  /** A node is alone, and another one takes over what it may still be doing. */
  private isolate(node: StormNode, other: StormNode, ns: number): void {
    for (const each of this.nodes) {
      if (each === node) continue;
      this.net.cut(each.index, node.index, ns);
      this.net.cut(node.index, each.index, ns);
    }
    node.store.isCut = true;
    this.later(ns, () => {
      node.store.isCut = false;
    });
    this.later(200_000, () => {
      this.attach(other, true);
    });
  }

  /** The writer is cut off while what it has sent is still on its way into a slow disk. */
  private usurp({ node, other, ns }: Shock): void {
    const writer = this.writer();
    const target = this.audit.inSync().find((each) => each !== writer && each.isUp) ?? node;
    const heirs = this.nodes.filter((each) => each !== writer && each.isUp);
    const heir = heirs[other.index % Math.max(1, heirs.length)];
    if (writer === null || heir === undefined) return;
    target.data.slowness = 60;
    this.later(100_000, () => {
      target.data.slowness = 1;
      // Long enough that it would serve reads after its time, when others have written.
      this.isolate(writer, heir, Math.max(ns, 25e6));
    });
  }

  private later(ns: number, action: () => void): void {
    this.world.after(ns, action);
  }

  private async verify(app: StormApp): Promise<void> {
    for (const { lba, isUnreadable } of await app.mirror.verify()) {
      if (!isUnreadable)
        this.world.violate(`verification finds members that differ in block ${lba}`);
    }
  }

  private async grow({ mirror }: StormApp, by: number): Promise<void> {
    const blocks = Math.min(mostBlocks, mirror.device.blockCount + by);
    await mirror.grow(blocks);
    this.grownTo = Math.max(this.grownTo, blocks);
    this.count('grown');
  }

  private async add(app: StormApp, node: StormNode): Promise<void> {
    const known = this.audit.record()?.members ?? [];
    const writer = this.nodeOf(app);
    if (writer === null || known.length === 3) return;
    if (known.some(({ id }) => id === node.memberId)) return;
    await app.mirror.addMember(this.audit.watched(writer, node));
  }

  /** A sector goes bad where another member that is in sync can read it. */
  private corrupt(node: StormNode, block: number): void {
    const good = this.audit.inSync().filter((each) => !each.data.isUnreadable(block));
    if (good.length > 1 && good.includes(node)) node.data.corrupt(block);
  }

  private kill(node: StormNode, hasPower: boolean, ns: number): void {
    if (!node.isUp) return;
    node.die(hasPower);
    this.apps.delete(node);
    this.attaching.delete(node);
    this.world.after(ns, () => {
      if (!node.isUp) void node.boot();
    });
  }

  private attach(node: StormNode, isForced: boolean): void {
    const isServing = (this.apps.get(node)?.mirror.status.state ?? 'stopped') !== 'stopped';
    if (!node.isUp || isServing || this.attaching.has(node)) return;
    this.attaching.add(node);
    const { life } = node;
    const { chance } = this.world;
    const ports = this.nodes.map((target) => this.audit.watched(node, target));
    const options = {
      ...{ store: node.store, volumeId, writer: `node ${node.index}`, ports, isForced },
      ...{ memory: node.memory, clock: node.clock, random: (b: Uint8Array) => chance.fill(b) },
      ...{ requestCount: 16, leaseNs: 6e6, answerNs: 2.5e6, retryNs: 1.5e6, cleanNs: 2e6 },
      resyncBytesPerSecond: 100e6,
    };
    Mirror.attach(options).then(
      (mirror) => {
        if (life !== node.life) return;
        this.attaching.delete(node);
        this.attached(node, mirror);
      },
      (error: unknown) => {
        if (life !== node.life) return;
        this.attaching.delete(node);
        if (!(error instanceof UltimaError)) {
          this.world.violate(`thrown by attach: ${String(error)}`);
        } else {
          this.count(error.code);
          if (error.code === 'STORE_ROLLED_BACK') this.world.violate(error.message);
        }
      },
    );
  }

  private attached(node: StormNode, mirror: Mirror): void {
    this.count('attached');
    const { blockCount } = mirror.device;
    // Who was paused while it attached may hear of it when others have grown the volume since.
    const isNewest = mirror.status.epoch === this.audit.record()?.epoch;
    if (isNewest && blockCount < this.grownTo) {
      this.world.violate(`${blockCount} blocks of ${this.grownTo}`);
    }
    if (mirror.mayHaveLost || this.doubtfulRestore !== null) {
      const sealed = this.doubtfulRestore;
      const extra = sealed === null ? null : (block: number) => valueIn(sealed, block);
      this.doubtfulRestore = null;
      this.eraNs = this.world.nowNs;
      this.checker.newEra(this.eraNs, extra);
      this.count('losses');
    }
    node.mirror = mirror;
    node.mirrors.push(mirror);
    const { checker, values } = this;
    const app = new StormApp(node, mirror, checker, { values, eraOf: () => this.eraNs });
    this.apps.set(node, app);
    void mirror.stopped.then((reason) => {
      this.count(reason === null ? 'detached' : `stopped ${reason.code}`);
      if (reason?.code === 'STORE_ROLLED_BACK') this.world.violate(reason.message);
    });
  }

  private detach(node: StormNode): void {
    const app = this.apps.get(node);
    if (app === undefined || app.mirror.status.state === 'stopped') return;
    void this.attempt(() => app.mirror.detach());
  }

  private onMirror(act: (app: StormApp) => Promise<void>): void {
    const app = [...this.apps.values()].find(({ mirror }) => mirror.status.state !== 'stopped');
    if (app !== undefined) void this.attempt(() => act(app));
  }

  private async attempt(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (error instanceof UltimaError || error instanceof RangeError) return;
      this.world.violate(`thrown: ${error instanceof Error ? error.stack : String(error)}`);
    }
  }

  private writer(): StormNode | null {
    for (const [node, { mirror }] of this.apps) if (mirror.status.state !== 'stopped') return node;
    return null;
  }

  private nodeOf(app: StormApp): StormNode | null {
    return this.nodes.find((node) => this.apps.get(node) === app) ?? null;
  }

  private async snapshot(app: StormApp, choice: number): Promise<void> {
    const { mirror } = app;
    // Which one a name stands for would be open.
    if (app.isHeld || app.isSealing) return;
    app.isSealing = true;
    try {
      // Names are used again: a member that was out meanwhile has another one under it.
      const name = `s${choice % 4}`;
      if (mirror.status.snapshots.includes(name)) await mirror.removeSnapshot(name);
      await mirror.snapshot(name);
      this.count('snapshots taken');
      const wrong = this.audit.snapshots.note(name, this.audit.record(), this.audit.inSync());
      if (wrong !== null) this.world.violate(wrong);
    } finally {
      app.isSealing = false;
    }
  }

  private async restore(app: StormApp, choice: number): Promise<void> {
    const names = app.mirror.status.snapshots;
    const name = names[choice % Math.max(1, names.length)];
    if (name === undefined || app.isHeld || app.isSealing) return;
    app.isHeld = true;
    await app.quiet();
    const sealed = this.audit.snapshots.contentOf(name, this.audit.record());
    this.doubtfulRestore = sealed ?? null;
    // At times nobody hears what became of it.
    const writer = choice % 3 === 0 ? this.nodeOf(app) : null;
    this.later(100_000 * this.world.chance.unit(), () => {
      if (writer !== null)
        for (const { index } of this.nodes) this.net.cut(index, writer.index, 10e6);
    });
    try {
      await app.mirror.restore(name);
    } catch (error) {
      if (error instanceof UltimaError && error.code === ErrorCode.memberRefused) {
        // Said not to have happened: the history goes on.
        this.doubtfulRestore = null;
        app.isHeld = false;
      }
      throw error;
    }
    this.doubtfulRestore = null;
    this.eraNs = this.world.nowNs;
    if (sealed === undefined) this.world.violate(`${name} was restored and is nowhere`);
    else this.checker.restart(this.eraNs, (block) => valueIn(sealed, block));
    this.count('restored');
    app.isHeld = false;
  }

  /** Everything is well again: the mirror heals, and nothing is lost. */
  private async end(): Promise<void> {
    const { world } = this;
    this.store.isOut = false;
    this.net.heal();
    for (const node of this.nodes) {
      node.store.isCut = false;
      node.data.slowness = 1;
      node.data.isDead = false;
      node.data.isFull = false;
      node.meta.isDead = false;
      node.data.unhang();
      if (!node.isUp) void node.boot();
    }
    await world.run(35e6);
    if (!(await world.runUntil(() => this.isWhole(), 300e6))) {
      const states = [...this.apps.values()].map(({ mirror }) => JSON.stringify(mirror.status));
      world.violate(`the mirror does not heal: ${states.join(' ')}`);
      return;
    }
    const [app] = [...this.apps.values()].filter(({ mirror }) => mirror.status.state === 'serving');
    await app!.readAll();
    await world.runUntil(() => app!.inFlight === 0, 50e6);
    if (app!.inFlight > 0) world.violate('reads do not end');
    this.audit.checkAtRest();
  }

  private nextTryNs = 0;

  private isWhole(): boolean {
    const app = [...this.apps.values()].find(({ mirror }) => mirror.status.state !== 'stopped');
    if (app === undefined) {
      if (this.world.nowNs < this.nextTryNs) return false;
      this.nextTryNs = this.world.nowNs + 20e6;
      const up = this.nodes.filter(({ isUp, member }) => isUp && member !== null);
      if (up[0] !== undefined) this.attach(up[0], true);
      return false;
    }
    const { state, unreconciledRegions } = app.mirror.status;
    return state === 'serving' && unreconciledRegions === 0;
  }

  private count(name: string, by = 1): void {
    this.tally[name] = (this.tally[name] ?? 0) + by;
  }
}
