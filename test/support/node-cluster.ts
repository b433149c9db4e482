import { MonotonicClock } from '../../native/vfio/clock.js';
import { MemoryDevice, MemorySpace } from '../../sdk/block/memory.js';
import { readBlocks } from '../../sdk/block/promised.js';
import { MemoryStore } from '../../sdk/cluster/memory-store.js';
import type { ClusterStore } from '../../sdk/cluster/store.js';
import { NodeAgent } from '../../sdk/node/agent.js';
import { Attachment, type AttachmentOptions } from '../../sdk/node/attachment.js';
import { ClusterDirectory } from '../../sdk/node/directory.js';
import { Pool } from '../../sdk/volume/pool.js';
import { Prng } from '../../sim/prng.js';

const clock = new MonotonicClock();

export interface ClusterNode {
  readonly name: string;
  readonly device: MemoryDevice;
  pool: Pool;
  agent: NodeAgent;
  isUp: boolean;
}

/** Nodes with pools in memory, NVMe/TCP between them, and a store that all of them reach. */
export class Cluster {
  readonly store: ClusterStore;
  readonly prng = new Prng(7, 'cluster');
  readonly random = (bytes: Uint8Array): void => this.prng.fill(bytes);
  readonly directory: ClusterDirectory;
  readonly nodes: ClusterNode[] = [];
  readonly attachments: Attachment[] = [];

  /** @param store  closed in the end */
  constructor(store: ClusterStore = new MemoryStore(clock)) {
    this.store = store;
    this.directory = new ClusterDirectory(store, this.random);
  }

  async start(count: number): Promise<this> {
    for (let i = 1; i <= count; i++) {
      const name = `n${i}`;
      const device = new MemoryDevice({ blockBytes: 4096, blockCount: 16 * 256, clock });
      const pool = await Pool.create([device], { random: this.random });
      this.nodes.push({ name, device, pool, agent: await this.agentOf(name, pool), isUp: true });
    }
    return this;
  }

  private agentOf(name: string, pool: Pool): Promise<NodeAgent> {
    const { store, random } = this;
    return NodeAgent.start({ name, pool, store, random, listen: '127.0.0.1:0' });
  }

  /** The process is gone; what was on its device is there when it comes back. */
  async stop(node: ClusterNode): Promise<void> {
    if (!node.isUp) return;
    node.isUp = false;
    await node.agent.close();
    await node.pool.close();
  }

  async restart(node: ClusterNode): Promise<void> {
    node.pool = await Pool.open([node.device]);
    node.agent = await this.agentOf(node.name, node.pool);
    node.isUp = true;
  }

  async attach(writer: string, more: Partial<AttachmentOptions> = {}): Promise<Attachment> {
    const { store, random } = this;
    const memory = new MemorySpace();
    const mirror = { leaseNs: 300e6, answerNs: 2e9, retryNs: 20e6, cleanNs: 50e6 };
    const base = { store, random, memory, clock, mirror, volume: 'db', writer };
    const attachment = await Attachment.open({ ...base, ...more });
    this.attachments.push(attachment);
    return attachment;
  }

  /** The data of each member, as its node's pool has it. */
  async contents(blocks: number): Promise<Uint8Array[]> {
    const { record } = await this.directory.volume('db');
    const all: Uint8Array[] = [];
    for (const { id, node } of record.members) {
      const { pool } = this.nodes.find(({ name }) => name === node)!;
      const data = new Uint8Array(blocks * 4096);
      await readBlocks(pool.volume(`member-${id}`), 0, data);
      all.push(data);
    }
    return all;
  }

  async end(): Promise<void> {
    for (const attachment of this.attachments) await attachment.detach().catch(() => {});
    for (const node of this.nodes) await this.stop(node);
    await this.store.close();
  }
}

/** The body of a test on a cluster of so many nodes. */
export function onCluster(
  count: number,
  run: (cluster: Cluster) => Promise<void>,
): () => Promise<void> {
  return async () => {
    const cluster = new Cluster();
    try {
      await cluster.start(count);
      await run(cluster);
    } finally {
      await cluster.end();
    }
  };
}

export function filled(value: number, blocks = 4): Uint8Array {
  return new Uint8Array(blocks * 4096).fill(value);
}

export function allInUse(attachment: Attachment, count: number): boolean {
  const { members } = attachment.mirror.status;
  return members.length === count && members.every(({ condition }) => condition === 'InUse');
}
