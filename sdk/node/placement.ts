import { ErrorCode, UltimaError } from '../errors.js';

/** A node as placement sees it. */
export interface Candidate {
  readonly name: string;
  readonly zone: string;
  readonly freeBytes: number;
  /** It answers, and nothing is wrong with its pool. */
  readonly isFit: boolean;
}

export interface PlacementWish {
  /** Members to place. */
  readonly count: number;
  /** What each of them needs at once; thin volumes need little. */
  readonly bytes: number;
  /** Nodes that have a member of the volume already. */
  readonly taken: readonly string[];
  /** The first member goes here, so that the volume is read without the network. */
  readonly preferred?: string | undefined;
}

/**
 * Nodes for members of one volume: never two on one node, as many zones as there are, and among
 * equals those with the most room, so that a cluster fills evenly.
 *
 * @throws UltimaError PLACEMENT_IMPOSSIBLE with what each node lacks
 */
export function placeMembers(candidates: readonly Candidate[], wish: PlacementWish): string[] {
  const left = candidates.filter((node) => whyNot(node, wish) === '');
  if (left.length < wish.count) throw impossible(candidates, wish, left.length);
  const zones = new Map<string, number>();
  for (const { name, zone } of candidates) {
    if (wish.taken.includes(name)) zones.set(zone, (zones.get(zone) ?? 0) + 1);
  }
  const chosen: string[] = [];
  while (chosen.length < wish.count) {
    const isFirst = chosen.length === 0;
    left.sort((a, b) => compare(a, b, { zones, preferred: isFirst ? wish.preferred : undefined }));
    const next = left.shift()!;
    zones.set(next.zone, (zones.get(next.zone) ?? 0) + 1);
    chosen.push(next.name);
  }
  return chosen;
}

interface Order {
  readonly zones: ReadonlyMap<string, number>;
  readonly preferred: string | undefined;
}

function compare(a: Candidate, b: Candidate, { zones, preferred }: Order): number {
  const wanted = Number(b.name === preferred) - Number(a.name === preferred);
  const crowd = (zones.get(a.zone) ?? 0) - (zones.get(b.zone) ?? 0);
  return wanted || crowd || b.freeBytes - a.freeBytes || (a.name < b.name ? -1 : 1);
}

/** @returns '' for a node that can take a member */
function whyNot({ name, freeBytes, isFit }: Candidate, { taken, bytes }: PlacementWish): string {
  if (taken.includes(name)) return 'has a member already';
  if (!isFit) return 'is away or not well';
  return freeBytes < bytes ? `has ${freeBytes} bytes free, ${bytes} are needed` : '';
}

function impossible(
  candidates: readonly Candidate[],
  wish: PlacementWish,
  possible: number,
): UltimaError {
  const reasons = candidates
    .map((node) => ({ node, why: whyNot(node, wish) }))
    .filter(({ why }) => why !== '')
    .map(({ node, why }) => `${node.name} ${why}`);
  const told = reasons.length === 0 ? 'no other node has joined' : reasons.join('; ');
  return new UltimaError(
    ErrorCode.placementImpossible,
    `${wish.count} members on as many nodes are wanted, ${possible} can take one: ${told}; ` +
      'add a node, free space, or ask for fewer members',
    { wanted: wish.count, possible },
  );
}
