import { BlockOp, BlockRequest, BlockStatus } from '../block/request.js';
import { checkWords } from '../crc32c.js';
import type { DmaRegion } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { Finding } from './findings.js';
import { cellsPerUnit } from './format.js';
import { type NodeArena, nodeBytes, nodeWords } from './nodes.js';
import type { Port, Pump } from './port.js';

/** Nodes that are read from one device at a time. */
const mostFetches = 32;
/** Nodes of the latest walks of the control path, which must not push each other out. */
const mostRecent = 16;
/** Polls without such a walk after which its nodes are as all others. */
const recentTurns = 64;
const wholeNode = { from: 0, to: nodeWords } as const;
/** The least cache: comparing two maps needs two nodes of each at a time. */
export const leastCacheBytes = 4 * nodeBytes;

export interface PagerOwner {
  readonly nodes: NodeArena;
  readonly pump: Pump;
  readonly findings: Finding[];
  portOf(unit: number): Port;
}

/** A node on its way to memory. */
class Fetch {
  readonly request: BlockRequest;
  readonly region: DmaRegion;
  id = 0;
  slot = 0;
  isSecond = false;

  constructor(region: DmaRegion, ended: (fetch: Fetch) => void) {
    this.region = region;
    this.request = new BlockRequest(() => ended(this));
  }
}

/**
 * Keeps the nodes in memory within a limit, and brings back the others when they are needed.
 *
 * What always holds: a node leaves memory only when the newest durable superblock has it as it is,
 * and what comes back is what was written, by its CRC. Changed nodes stay until a checkpoint has
 * written them, and roots and middle nodes (one for 32 GiB) always stay.
 *
 * What may fail: a node cannot be read, or is not what was written. It is tried once more; then it
 * is lost, and whoever needs it fails: the volume is damaged, the pool goes on.
 */
export class Pager {
  /** Nodes that may be in memory. */
  mostNodes = Number.POSITIVE_INFINITY;
  /** Nodes that were read, ever. */
  fetched = 0;
  private readonly owner: PagerOwner;
  private readonly active: Fetch[] = [];
  private readonly spare: Fetch[][] = [];
  private readonly made: number[] = [];
  private readonly onEnded = (fetch: Fetch): void => this.ended(fetch);
  private readonly recent: number[] = [];
  private turnsLeft = 0;
  /** Count of nodes at which it is worth looking for some that may leave. */
  private nextShrink = 0;

  constructor(owner: PagerOwner) {
    this.owner = owner;
  }

  /** Nodes may be out of memory: not everything can be told at once. */
  get isLimited(): boolean {
    return this.mostNodes !== Number.POSITIVE_INFINITY;
  }

  get isIdle(): boolean {
    return this.active.length === 0;
  }

  /** @throws RangeError for a limit with which not every operation can be done */
  limit(cacheBytes: number): void {
    if (!(cacheBytes >= leastCacheBytes)) {
      throw new RangeError(
        `mapCacheBytes ${cacheBytes}: maps need ${leastCacheBytes} bytes of memory at least`,
      );
    }
    this.mostNodes = Math.floor(cacheBytes / nodeBytes);
  }

  /**
   * See to it that a node comes to memory; ask again with the next poll.
   *
   * @returns false when it is lost
   */
  want(id: number): boolean {
    const { nodes } = this.owner;
    if (nodes.isLost(id)) return false;
    const { active } = this;
    for (let i = 0; i < active.length; i++) if (active[i]!.id === id) return true;
    const slot = nodes.slots[id]!;
    const port = this.owner.portOf(Math.floor(slot / cellsPerUnit));
    const fetch = this.takeFetch(port);
    if (fetch === null) return true;
    fetch.id = id;
    fetch.slot = slot;
    fetch.isSecond = false;
    active.push(fetch);
    this.send(fetch, port);
    return true;
  }

  /**
   * For the control path: bring a node to memory. Where others work, too, it may have left again
   * when the caller goes on, and is asked for again then.
   *
   * @returns false when it is lost
   */
  async bring(id: number): Promise<boolean> {
    const { nodes, pump } = this.owner;
    this.remember(id);
    await pump.until(() => nodes.isHere(id) || !this.want(id));
    return !nodes.isLost(id);
  }

  /** @throws UltimaError POOL_DAMAGED when the node is lost */
  async hold(id: number): Promise<void> {
    if (await this.bring(id)) return;
    throw new UltimaError(ErrorCode.poolDamaged, `node ${id} of a map is lost`, { node: id });
  }

  /** Called with every poll: nodes leave while there are too many. */
  turn(): void {
    const { nodes } = this.owner;
    if (this.turnsLeft > 0 && --this.turnsLeft === 0) this.recent.length = 0;
    if (nodes.frameCount <= this.mostNodes || nodes.frameCount < this.nextShrink) return;
    for (let i = 0; i < this.recent.length; i++) nodes.used[this.recent[i]!] = 1;
    const step = Math.max(1, Math.floor(this.mostNodes / 16));
    nodes.shrinkTo(this.mostNodes - step);
    // When most must stay, the next look is worth it after a checkpoint, or when more have come.
    const isEnough = nodes.frameCount <= this.mostNodes;
    this.nextShrink = isEnough ? 0 : nodes.frameCount + step;
  }

  /** A checkpoint is durable: what it wrote may leave. */
  lookAgain(): void {
    this.nextShrink = 0;
  }

  /** Give the buffers back. Nothing may be under way. */
  close(): void {
    for (const { region } of this.spare.flat()) region.space.free(region);
    this.spare.length = 0;
  }

  private remember(id: number): void {
    const { recent } = this;
    this.turnsLeft = recentTurns;
    const index = recent.indexOf(id);
    if (index >= 0) recent.splice(index, 1);
    else if (recent.length === mostRecent) recent.shift();
    recent.push(id);
  }

  private takeFetch(port: Port): Fetch | null {
    const { index } = port;
    this.spare[index] ??= [];
    const spare = this.spare[index].pop();
    if (spare !== undefined) return spare;
    const made = this.made[index] ?? 0;
    if (made === mostFetches) return null;
    this.made[index] = made + 1;
    return new Fetch(port.device.memory.allocate(nodeBytes), this.onEnded);
  }

  private send(fetch: Fetch, port: Port): void {
    const { request, slot, region } = fetch;
    const unit = Math.floor(slot / cellsPerUnit);
    const within = (slot % cellsPerUnit) * nodeBytes;
    request.op = BlockOp.read;
    port.aim(request, port.byteOf(unit) + within, nodeBytes);
    request.setData(region, 0, nodeBytes);
    port.submit(request);
  }

  private ended(fetch: Fetch): void {
    const { nodes } = this.owner;
    const { id, slot, request, region } = fetch;
    const port = this.owner.portOf(Math.floor(slot / cellsPerUnit));
    // The node may be gone, and its number may be another's.
    if (nodes.slots[id] === slot && !nodes.isHere(id)) {
      const isRead = request.status === BlockStatus.ok && this.place(id, region.words);
      if (!isRead && !fetch.isSecond) {
        fetch.isSecond = true;
        this.send(fetch, port);
        return;
      }
      if (!isRead) this.lose(id);
    }
    const { active } = this;
    const last = active.pop()!;
    if (last !== fetch) active[active.indexOf(fetch)] = last;
    this.spare[port.index]!.push(fetch);
  }

  private place(id: number, words: Uint32Array): boolean {
    const { nodes, findings } = this.owner;
    const state = checkWords(words, wholeNode, nodes.checks[id]!);
    if (state === 'bad') return false;
    nodes.bringIn(id);
    nodes.wordsOf(id).set(words, nodes.at(id));
    this.fetched++;
    if (state === 'mended') {
      findings.push({ kind: 'mended', what: `node ${id}`, text: 'one wrong bit', costs: [] });
      nodes.touch(id);
    }
    return true;
  }

  private lose(id: number): void {
    this.owner.nodes.lose(id);
    const text = 'it was good, and can no longer be read';
    this.owner.findings.push({ kind: 'lost', what: `node ${id}`, text, costs: [] });
  }
}
