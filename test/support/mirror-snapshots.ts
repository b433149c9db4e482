import type { MirrorRecord } from '../../sdk/mirror/record.js';
import { isEqual } from './mirror-content.js';
import type { StormNode } from './mirror-node.js';

/** What each snapshot of a storm was when it was taken, whoever has it now. */
export class StormSnapshots {
  private readonly nodes: readonly StormNode[];
  /** By identity. */
  private readonly taken = new Map<string, Uint8Array>();

  constructor(nodes: readonly StormNode[]) {
    this.nodes = nodes;
  }

  /** One was taken just now. @returns what is wrong with it */
  note(name: string, record: MirrorRecord | null, members: readonly StormNode[]): string | null {
    const id = record?.snapshots.find((each) => each.name === name)?.id;
    // Removed again by a writer that came after.
    if (id === undefined) return null;
    for (const { index, snapshots } of members) {
      const copy = snapshots.get(id);
      if (copy === undefined) return `${name} is not on ${index}, which is in sync`;
      if (!isEqual(copy, this.truthOf(id, copy))) return `${name} differs between members`;
    }
    return null;
  }

  contentOf(name: string, record: MirrorRecord | null): Uint8Array | undefined {
    const id = record?.snapshots.find((each) => each.name === name)?.id ?? '';
    const copies = this.nodes.flatMap(({ snapshots }) => snapshots.get(id) ?? []);
    return this.taken.get(id) ?? copies[0];
  }

  /** Nobody ever has one that is not what it was. @returns what is wrong */
  check(record: MirrorRecord): string | null {
    for (const { id, name } of record.snapshots) {
      for (const { index, snapshots } of this.nodes) {
        const copy = snapshots.get(id);
        if (copy === undefined || isEqual(copy, this.truthOf(id, copy))) continue;
        return `${name} on node ${index} is not what it was`;
      }
    }
    return null;
  }

  /** @returns what members lack, or have too much */
  lacking(record: MirrorRecord, members: readonly StormNode[]): string | null {
    for (const { index, snapshots } of members) {
      for (const { id, name } of record.snapshots) {
        if (!snapshots.has(id)) return `node ${index} lacks ${name} (${id})`;
      }
    }
    return null;
  }

  private truthOf(id: string, copy: Uint8Array): Uint8Array {
    const known = this.taken.get(id);
    if (known !== undefined) return known;
    this.taken.set(id, copy.slice());
    return copy;
  }
}
