import type { Namespace } from '../nvme/namespace.js';

/** What a drive counts in. */
export const unitBytes = 4096;

/** First unit that a block is in. */
export function firstUnit(namespace: Namespace, lba: number): number {
  const { dataBytes } = namespace;
  return dataBytes === unitBytes ? lba : Math.floor((lba * dataBytes) / unitBytes);
}

/** Units that `count` blocks touch. */
export function unitsOf(namespace: Namespace, lba: number, count: number): number {
  const { dataBytes } = namespace;
  if (dataBytes === unitBytes) return count;
  const end = Math.ceil(((lba + count) * dataBytes) / unitBytes);
  return end - Math.floor((lba * dataBytes) / unitBytes);
}

/** Whether the blocks begin or end inside a unit: a write of them needs what else is in it. */
export function isPartial(namespace: Namespace, lba: number, count: number): boolean {
  const { dataBytes } = namespace;
  if (dataBytes === unitBytes) return false;
  return (lba * dataBytes) % unitBytes !== 0 || ((lba + count) * dataBytes) % unitBytes !== 0;
}
