import type { PoolCore } from '../../sdk/volume/core.js';
import type { LoadedPool } from '../../sdk/volume/load.js';
import { nodeWords } from '../../sdk/volume/nodes.js';

/**
 * All that a loaded pool knows: the catalog, every map, what names each node and unit, what is
 * free, and where the journal goes on. What a volume reads follows from that and from its data, so
 * two pools that are equal here read the same everywhere.
 */
export class PoolState {
  private readonly facts: readonly (readonly [name: string, value: string | Uint32Array])[];
  private readonly nodes: readonly Uint32Array[];

  constructor(loaded: LoadedPool) {
    this.facts = factsOf(loaded);
    this.nodes = wordsOfNodes(loaded.core).map((words) => words.slice());
  }

  /** @returns null, or in words what differs first */
  differenceTo(loaded: LoadedPool): string | null {
    for (const [i, [name, value]] of factsOf(loaded).entries()) {
      if (!isEqual(value, this.facts[i]![1])) return `the pool has other ${name}`;
    }
    const differs = wordsOfNodes(loaded.core).findIndex(
      (words, i) => !isEqual(words, this.nodes[i]!),
    );
    return differs < 0 ? null : `the ${differs + 1}th node says something else`;
  }
}

function factsOf({
  core,
  nextSeq,
  nextBlock,
  blocked,
}: LoadedPool): [string, string | Uint32Array][] {
  const { catalog, nodes, units, slots, identity, deferred } = core;
  const { poolId, deviceIds, ...rest } = identity;
  const ids = [poolId, ...deviceIds].map((id) => Buffer.from(id).toString('hex'));
  const unitNumbers = Array.from({ length: units.unitCount }, (_, unit) => unit);
  return [
    ['volumes', JSON.stringify([...catalog.objects.values(), catalog.nextId])],
    ['identity', JSON.stringify([rest, ids])],
    ['journal', JSON.stringify([nextSeq, nextBlock, blocked])],
    ['slots', JSON.stringify([slots.spareCount, unitNumbers.filter((u) => slots.isSlotUnit(u))])],
    ['counts', JSON.stringify([nodes.end, nodes.count, units.freeCount, deferred.pending])],
    ['kinds of nodes', Uint32Array.from(nodes.kinds.subarray(0, nodes.end))],
    ['pointers', nodes.refs.subarray(0, nodes.end)],
    ['places of nodes', nodes.slots.subarray(0, nodes.end)],
    ['names of units', units.refs.subarray(0, units.unitCount)],
    ['free units', units.freeBits()],
  ];
}

/** Of all nodes that something leads to. All of them must be in memory. */
function wordsOfNodes({ nodes }: PoolCore): Uint32Array[] {
  const all: Uint32Array[] = [];
  for (let id = 1; id < nodes.end; id++) {
    if (nodes.refs[id] === 0) continue;
    all.push(nodes.wordsOf(id).subarray(nodes.at(id), nodes.at(id) + nodeWords));
  }
  return all;
}

function isEqual(a: string | Uint32Array, b: string | Uint32Array): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
